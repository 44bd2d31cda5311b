// A place to hand over one picture: chosen, dropped or pasted; or a path or file: URL as text.

function render({ model, el }) {
  const zone = el.appendChild(document.createElement("div"));
  zone.className = "workbench-drop";
  const button = zone.appendChild(document.createElement("button"));
  button.type = "button";
  button.textContent = "Choose a picture";
  const hint = zone.appendChild(document.createElement("span"));
  hint.textContent = "or drop one here, or paste one (Ctrl+V)";
  const said = zone.appendChild(document.createElement("span"));
  said.className = "said";
  said.setAttribute("role", "alert");
  const input = zone.appendChild(document.createElement("input"));
  Object.assign(input, { type: "file", accept: "image/*", hidden: true });

  const open = () => !model.get("disabled");
  const settle = () => {
    button.disabled = !open();
    zone.classList.toggle("closed", !open());
  };
  const take = async (file) => {
    if (!file || !open()) return;
    const most = model.get("most");
    if (file.size > most) {
      said.textContent = `${file.name} has ${(file.size / 1e6).toFixed(1)} MB; up to ${most / 1e6} MB are handed over here. Give its path below instead.`;
      return;
    }
    said.textContent = "";
    model.send({ kind: "file", name: file.name }, undefined, [await file.arrayBuffer()]);
  };
  const takeText = (text) => {
    const line = (text ?? "").split(/\r?\n/).find((each) => each.trim() && !each.startsWith("#"));
    if (line && open()) model.send({ kind: "path", path: line.trim() });
  };
  const handed = (data) => {
    const file = [...(data?.files ?? [])][0];
    if (file) take(file);
    else takeText(data?.getData("text/uri-list") || data?.getData("text/plain"));
  };

  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take(input.files[0]);
    input.value = "";
  });
  const over = (event) => {
    event.preventDefault();
    zone.classList.toggle("over", event.type === "dragover" && open());
  };
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", over);
  zone.addEventListener("drop", (event) => {
    over(event);
    event.stopPropagation();
    handed(event.dataTransfer);
  });
  const paste = (event) => {
    const at = document.activeElement;
    const ours = zone.closest(".workbench-panel") ?? zone;
    if (at && at !== document.body && !ours.contains(at)) return; // a cell that is written in
    const typing = at?.matches("input[type=text]");
    if (typing && !event.clipboardData.files.length) return;
    event.preventDefault();
    handed(event.clipboardData);
  };
  document.addEventListener("paste", paste);
  model.on("change:disabled", settle);
  settle();
  return () => {
    document.removeEventListener("paste", paste);
    model.off("change:disabled", settle);
  };
}

export default { render };
