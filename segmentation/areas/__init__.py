"""Areas that one may publish: points drawn on a map, labelled by people, and the areas estimated from them."""
