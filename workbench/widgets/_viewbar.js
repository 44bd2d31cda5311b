// Buttons that act on the maps of their panel at once, without the kernel.

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "workbench-bar";
  root.setAttribute("role", "toolbar");
  root.setAttribute("aria-label", "view");
  el.append(root);
  const panel = () => root.closest(".workbench-panel");
  const maps = () => [...panel().querySelectorAll(".workbench-map")];
  const each = (act) => () => maps().forEach((map) => map.workbench && act(map.workbench));

  function button(text, title, act) {
    const node = document.createElement("button");
    node.type = "button";
    node.textContent = text;
    node.title = title;
    node.addEventListener("click", act);
    root.append(node);
    return node;
  }

  button("zoom to selection", "fit what is chosen into every map", each((map) => map.toSelection()));
  button("reset view", "fit all shown points into every map", each((map) => map.fit()));
  const pictures = button("pictures on the map", "draw them where the map is zoomed in", () => {
    model.set("pictures", !model.get("pictures"));
    model.save_changes();
  });
  const together = button("move together", "pan and zoom both maps at once", () => {
    if (panel().dataset.apart) delete panel().dataset.apart;
    else panel().dataset.apart = "yes";
    press();
  });
  const full = button("full screen", "the maps, the details and the gallery; Escape leaves", () =>
    document.fullscreenElement ? document.exitFullscreen() : panel().requestFullscreen(),
  );

  function press() {
    pictures.setAttribute("aria-pressed", String(model.get("pictures")));
    together.setAttribute("aria-pressed", String(!panel()?.dataset.apart));
    together.hidden = model.get("maps") < 2;
  }

  function changed() {
    const whole = document.fullscreenElement === panel();
    full.setAttribute("aria-pressed", String(whole));
    for (const map of maps()) {
      if (!map.workbench) continue;
      const rest = maps().length > 1 ? 690 : 290; // bars, captions and, below two maps, details
      map.workbench.tall(whole ? Math.max(300, window.innerHeight - rest) : 0);
      map.workbench.api.set({ lassoInitiatorParentElement: whole ? panel() : document.body });
    }
  }

  document.addEventListener("fullscreenchange", changed);
  model.on("change:pictures change:maps", press);
  requestAnimationFrame(press);
  return () => {
    document.removeEventListener("fullscreenchange", changed);
    model.off("change:pictures change:maps", press);
  };
}

export default { render };
