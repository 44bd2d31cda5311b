// Rows of texts: a click on a heading sorts, a click or Enter on a row opens its picture.

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "workbench-table";
  root.dataset.lmSuppressShortcuts = "true";
  el.append(root);

  function draw() {
    const [by, down] = [model.get("by"), model.get("down")];
    const table = document.createElement("table");
    const heads = table.createTHead().insertRow();
    for (const name of model.get("columns")) {
      const head = document.createElement("th");
      head.scope = "col";
      const sort = document.createElement("button");
      sort.type = "button";
      sort.textContent = name + (name === by ? (down ? " ▼" : " ▲") : "");
      sort.addEventListener("click", () => model.send({ type: "sort", column: name }));
      if (name === by) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      head.append(sort);
      heads.append(head);
    }
    const body = table.createTBody();
    for (const { id, chosen, cells } of model.get("rows")) {
      const row = body.insertRow();
      row.tabIndex = 0;
      row.dataset.id = id;
      row.setAttribute("aria-selected", String(chosen));
      for (const cell of cells) row.insertCell().textContent = cell;
      row.addEventListener("click", () => model.send({ type: "open", id }));
      row.addEventListener("keydown", (event) => {
        if (event.key === "Enter") model.send({ type: "open", id });
        else if (event.key === "ArrowDown") row.nextSibling?.focus();
        else if (event.key === "ArrowUp") row.previousSibling?.focus();
        else return;
        event.preventDefault();
      });
    }
    root.replaceChildren(table);
  }

  const watched = "change:rows change:columns change:by change:down";
  let due = 0;
  const changed = () => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(draw);
  };
  model.on(watched, changed);
  draw();
  return () => {
    cancelAnimationFrame(due);
    model.off(watched, changed);
  };
}

export default { render };
