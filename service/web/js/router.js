// Views by address. "#/library?q=x" shows the view "library" with its parameters.

/** The parts of an address: {path: ["track", "x"], params}. */
export function parseAddress(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const steps = path.split("/").filter(Boolean).map((step) => {
    try {
      return decodeURIComponent(step);
    } catch {
      return step;
    }
  });
  return { steps, params: new URLSearchParams(search) };
}

/** Change the address without showing anything anew: the view has done so already. */
export function noteAddress(address, { replace = false } = {}) {
  if (window.location.hash === address) return;
  if (replace) window.history.replaceState(null, "", address);
  else window.history.pushState(null, "", address);
}

/**
 * Show views as the address changes. `choose(steps)` gives {name, open}; `open(address)` shows the
 * view and returns {close(), follow(address)?}: a view with `follow` takes in changed parameters.
 */
export function startRouter(choose, onShown) {
  let shown = null;
  let view = { close() {} };

  function show(moved) {
    const address = parseAddress(window.location.hash);
    const key = address.steps.join("/");
    if (view.follow && shown === key && moved) {
      view.follow(address);
      return;
    }
    view.close();
    shown = key;
    const { name, open } = choose(address.steps);
    view = open(address);
    onShown(name, moved);
  }

  window.addEventListener("hashchange", () => show(true));
  show(false);
  return {
    go(address) {
      if (window.location.hash === address) show(false);
      else window.location.hash = address;
    },
    again: () => show(false),
  };
}
