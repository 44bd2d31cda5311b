// A matrix of buttons: rows are the true models, columns the predicted ones. Arrows move, Enter
// chooses. All names are set as text.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function make(kind, text, properties = {}) {
  const element = Object.assign(document.createElement(kind), properties);
  element.textContent = text;
  return element;
}

function render({ model, el }) {
  let cells = [];

  function choose(row, column) {
    model.set("chosen", [model.get("rows")[row], model.get("columns")[column]]);
    model.save_changes();
  }

  function mark() {
    const [chosenRow, chosenColumn] = model.get("chosen");
    const at = [model.get("rows").indexOf(chosenRow), model.get("columns").indexOf(chosenColumn)];
    cells.forEach((line, i) =>
      line.forEach((button, j) => {
        const here = i === at[0] && j === at[1];
        button.setAttribute("aria-pressed", String(here));
        button.tabIndex = here || (at[0] < 0 && i + j === 0) ? 0 : -1;
      }),
    );
  }

  function move(event, row, column) {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const next = cells[row + step[0]]?.[column + step[1]];
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  function cell(name, other, count, total, row, column) {
    const button = make("button", String(count), { type: "button" });
    button.setAttribute("aria-label", `true ${name}, predicted ${other}: ${count}`);
    button.style.setProperty("--share", `${Math.round((45 * count) / Math.max(total, 1))}%`);
    button.addEventListener("click", () => choose(row, column));
    button.addEventListener("keydown", (event) => move(event, row, column));
    return button;
  }

  function draw() {
    const table = make("table", "");
    table.className = "matrix";
    table.append(make("caption", "Rows are the true models, columns the predicted ones."));
    const head = table.createTHead().insertRow();
    head.append(make("td", ""));
    for (const name of model.get("columns")) head.append(make("th", name, { scope: "col" }));
    const body = table.createTBody();
    cells = model.get("rows").map((name, row) => {
      const line = body.insertRow();
      line.append(make("th", name, { scope: "row" }));
      const counts = model.get("counts")[row] ?? [];
      const total = counts.reduce((sum, count) => sum + count, 0);
      return model.get("columns").map((other, column) => {
        const button = cell(name, other, counts[column] ?? 0, total, row, column);
        line.insertCell().append(button);
        return button;
      });
    });
    const page = make("div", "");
    page.className = "workbench-page";
    page.append(table);
    el.replaceChildren(page);
    mark();
  }

  model.on("change:counts", draw);
  model.on("change:chosen", mark);
  draw();
}

export default { render };
