// Thumbnails with captions: a listbox. What comes from data is set as text, never as markup.

const AT_ONCE = 24; // thumbnails asked for before the browser has drawn what is in sight
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "workbench-gallery";
  root.dataset.lmSuppressShortcuts = "true"; // the keys are ours, not the notebook's
  const list = document.createElement("div");
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-multiselectable", "true");
  const rest = document.createElement("p");
  root.append(list, rest);
  el.append(root);

  const thumbnails = new Map(); // digest → data URI, or null where the store has it no longer
  let options = [];
  let wanted = new Set();
  let current = 0;

  const sight = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) if (isIntersecting) ask(target);
    },
    { root: list, rootMargin: "120px" },
  );

  function ask(option) {
    sight.unobserve(option);
    if (thumbnails.has(option.dataset.id)) return put(option);
    if (!wanted.size) queueMicrotask(send);
    wanted.add(option.dataset.id);
  }

  function send() {
    model.send({ type: "thumbnails", ids: [...wanted] });
    wanted = new Set();
  }

  function put(option) {
    const uri = thumbnails.get(option.dataset.id);
    const frame = option.firstChild;
    if (uri) frame.src = uri;
    else frame.replaceWith(missing());
  }

  function missing() {
    const note = document.createElement("span");
    note.className = "missing";
    note.textContent = "not in the store";
    return note;
  }

  function draw() {
    sight.disconnect();
    const items = model.get("items");
    root.style.setProperty("--side", `${model.get("side")}px`);
    list.setAttribute("aria-label", model.get("label"));
    list.hidden = !items.length;
    options = items.map((item, place) => {
      const option = document.createElement("div");
      option.setAttribute("role", "option");
      option.dataset.id = item.id;
      option.dataset.place = place;
      option.tabIndex = place ? -1 : 0;
      const picture = document.createElement("img");
      picture.alt = "";
      const caption = document.createElement("span");
      caption.className = "caption";
      caption.textContent = item.caption;
      if (item.colour) option.style.setProperty("--own", item.colour);
      option.title = item.caption;
      option.append(picture, caption);
      return option;
    });
    current = 0;
    list.replaceChildren(...options);
    list.scrollTop = 0;
    for (const option of options) sight.observe(option);
    for (const option of options.slice(0, AT_ONCE)) ask(option);
    const more = model.get("more");
    rest.textContent = items.length ? (more ? `… and ${more} more` : "") : model.get("empty");
    rest.hidden = !rest.textContent;
    mark();
  }

  function mark() {
    const chosen = new Set(model.get("selected"));
    const hovered = model.get("hovered");
    for (const option of options) {
      option.setAttribute("aria-selected", String(chosen.has(option.dataset.id)));
      option.classList.toggle("hovered", option.dataset.id === hovered);
    }
  }

  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }

  function toggle(option) {
    const chosen = model.get("selected");
    const { id } = option.dataset;
    set("selected", chosen.includes(id) ? chosen.filter((each) => each !== id) : [...chosen, id]);
  }

  function go(place) {
    options[current].tabIndex = -1;
    current = Math.min(Math.max(place, 0), options.length - 1);
    options[current].tabIndex = 0;
    options[current].focus();
  }

  function across() {
    const top = options[0].offsetTop;
    const second = options.findIndex((option) => option.offsetTop > top);
    return second < 0 ? options.length : second;
  }

  const owner = (event) => event.target.closest("[role=option]");

  list.addEventListener("click", (event) => {
    const option = owner(event);
    if (!option) return;
    go(Number(option.dataset.place));
    toggle(option);
  });
  list.addEventListener("keydown", (event) => {
    const option = owner(event);
    if (!option || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = Number(option.dataset.place);
    if (event.key in STEPS) go(place + STEPS[event.key]);
    else if (event.key === "ArrowDown") go(place + across());
    else if (event.key === "ArrowUp") go(place - across());
    else if (event.key === " " || event.key === "Enter") toggle(option);
    else if (event.key === "Escape") set("selected", []);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  list.addEventListener("pointerover", (event) => {
    const id = owner(event)?.dataset.id ?? null;
    if (id !== model.get("hovered")) set("hovered", id);
  });
  list.addEventListener("pointerleave", () => set("hovered", null));
  list.addEventListener("focusin", (event) => set("hovered", owner(event)?.dataset.id ?? null));
  list.addEventListener("focusout", () => set("hovered", null));

  const arrived = (message) => {
    if (message.type !== "thumbnails") return;
    for (const [id, uri] of Object.entries(message.pictures)) thumbnails.set(id, uri);
    for (const option of options) if (option.dataset.id in message.pictures) put(option);
  };
  model.on("msg:custom", arrived);
  model.on("change:items", draw);
  model.on("change:more change:empty change:label change:side", draw);
  model.on("change:selected change:hovered", mark);
  draw();
  return () => {
    sight.disconnect();
    model.off("msg:custom", arrived);
    model.off("change:items change:more change:empty change:label change:side", draw);
    model.off("change:selected change:hovered", mark);
  };
}

export default { render };
