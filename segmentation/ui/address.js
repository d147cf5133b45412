// The address bar and the browser's history: one entry for each page that was visited, as it was left.

const push = history.pushState.bind(history);

// Streamlit makes an entry for each parameter that it corrects, and takes the old page's parameters along to the new
// one. Here, whatever it says of the page in sight replaces what was said before, and a link to another page is followed
// as the browser's own Back and Forward are: the address says all, and nothing else counts. What Streamlit still says of
// a page that was left comes too late: an entry for it would take away the way forward.
if (!window.segmentationAddress) {
  window.segmentationAddress = true;
  history.pushState = (state, title, address) => {
    if (new URL(address, location.href).pathname === location.pathname) history.replaceState(state, title, address);
  };
  document.addEventListener("click", follow, true);
}

function follow(event) {
  const link = event.target.closest?.("a[data-testid=stPageLink-NavLink]");
  if (!link || link.target || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  if (link.hasAttribute("disabled")) return;
  push({}, "", new URL("./" + link.getAttribute("href"), location.href)); // Streamlit's are relative, home's is empty
  dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}

export default function ({ parentElement }) {
  const button = parentElement.querySelector("button");
  button.onclick = async () => {
    button.textContent = (await copy(location.href)) ? "Link copied" : "Copy it from the address bar";
    setTimeout(() => (button.textContent = "Copy link"), 3000);
  };
}

// Browsers offer their clipboard to https and to this machine only; on a lab's server the old way still works.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
