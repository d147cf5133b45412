"""Training logs of any kind: a reader a format (`formats.FORMATS`), and what their numbers tell (`history`)."""
