// Entries with a swatch and a number, each a button that shows or hides its class.

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "workbench-legend";
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "legend");
  el.append(root);

  function draw() {
    const hidden = new Set(model.get("hidden"));
    const focused = root.contains(document.activeElement) && document.activeElement.dataset.name;
    const entries = model.get("entries").map(([name, colour, count]) => {
      const entry = document.createElement("button");
      entry.type = "button";
      entry.dataset.name = name;
      entry.title = `show or hide ${name}; double click: ${name} alone`;
      entry.setAttribute("aria-pressed", String(!hidden.has(name)));
      const swatch = document.createElement("i");
      swatch.style.background = colour;
      const number = document.createElement("b");
      number.textContent = count;
      entry.append(swatch, `${name} `, number);
      entry.addEventListener("click", () => toggle(name));
      entry.addEventListener("dblclick", () => alone(name));
      return entry;
    });
    const words = document.createElement("span");
    words.textContent = model.get("words");
    root.replaceChildren(...entries, words);
    if (focused) entries.find((entry) => entry.dataset.name === focused)?.focus();
  }

  function set(hidden) {
    model.set("hidden", hidden);
    model.save_changes();
  }

  function toggle(name) {
    const hidden = model.get("hidden");
    set(hidden.includes(name) ? hidden.filter((each) => each !== name) : [...hidden, name]);
  }

  function alone(name) {
    const others = model.get("entries").map(([each]) => each).filter((each) => each !== name);
    const already = others.every((each) => model.get("hidden").includes(each));
    set(already ? [] : others);
  }

  model.on("change:entries change:hidden change:words", draw);
  draw();
  return () => model.off("change:entries change:hidden change:words", draw);
}

export default { render };
