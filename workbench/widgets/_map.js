// What lies on a map of jupyter-scatter: stars, rims, thumbnails, and a pointer for the keyboard.
// The map is a neighbour in the page; its regl-scatterplot is the property `api` of its container.

const FEW = 600; // points in view up to which thumbnails are drawn, where the map is zoomed in
const ZOOMED = 1.6;
const SIDES = [40, 72]; // pixels of a thumbnail, growing with the zoom
const TURN = 300; // milliseconds of a zoom
const REST = 150; // milliseconds until a view that has come to rest has been told
const PATIENCE = 5000; // milliseconds a map may take until it has its tools
const AT_ONCE = 64; // thumbnails asked for in one message, so that others come between
const GROUNDS = { false: [255, 255, 255], true: [24, 26, 29] };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.className = "workbench-layer";
  const pen = canvas.getContext("2d");
  const pictures = new Map(); // place → picture, or null while it is asked for or missing
  let host, box, api, last, visible, chosen, themes, sizes, heard;
  let stale = true;
  let programmed = 0; // zooms going on that no hand made
  let asked = new Set();
  let pointer = null;
  let waiting = requestAnimationFrame(find);

  function find() {
    host = el.closest(".workbench-map");
    box = host?.querySelector("canvas")?.parentElement.parentElement;
    api = box?.api;
    if (api) start();
    else waiting = requestAnimationFrame(find);
  }

  function start() {
    box.querySelector("canvas").after(canvas); // below the tooltip
    box.tabIndex = 0;
    box.setAttribute("role", "application");
    box.setAttribute("aria-label", model.get("label"));
    box.addEventListener("keydown", press);
    api.subscribe("drawing", draw);
    api.subscribe("view", moved);
    api.subscribe("select", forget);
    api.subscribe("deselect", forget);
    last = view();
    host.workbench = { fit, toSelection, follow, tall, api, moving: () => programmed > 0 };
    themes = new MutationObserver(ground);
    themes.observe(document.body, { attributes: true });
    sizes = new ResizeObserver(() => api.redraw());
    sizes.observe(box);
    ground();
    api.redraw();
    heard = setTimeout(listen, PATIENCE);
  }

  // anywidget gives a model up whose script is not there within 2 s, as on a busy machine: such a
  // map is drawn, but hears nothing more of the kernel, not even which tools it is to have.
  function listen() {
    if (!host.querySelector("button[title='Reset View']")) return;
    const note = document.createElement("p");
    note.className = "workbench-note";
    note.textContent = "The machine was too busy to start this map: run the cell again.";
    host.append(note);
  }

  function forget() {
    stale = true;
  }

  function dark() {
    const [r, g, b] = getComputedStyle(host).color.match(/[\d.]+/g).map(Number);
    return r + g + b > 382; // light letters lie on a dark page
  }

  function ground() {
    const now = dark();
    api.set({ backgroundColor: [...GROUNDS[now].map((each) => each / 255), 1] });
    box.style.backgroundColor = `rgb(${GROUNDS[now]})`;
    if (model.get("dark") !== now) {
      model.set("dark", now);
      model.save_changes();
    }
  }

  // The places

  function shown() {
    if (stale) {
      visible = new Set(api.get("filteredPoints"));
      chosen = new Set(api.get("selectedPoints"));
      stale = false;
    }
    return visible;
  }

  function zoom() {
    return api.get("camera").scaling[0];
  }

  function colour(place) {
    const palette = api.get("pointColor");
    const component = api.get("colorBy") === "valueW" ? 3 : 2;
    const own = api.get("points")[place]?.[component];
    const rgba = Array.isArray(palette[0]) ? palette[own] : palette;
    return `rgb(${(rgba ?? [0.5, 0.5, 0.5]).slice(0, 3).map((each) => each * 255)})`;
  }

  function inside([x, y], edge = 0) {
    return x > -edge && y > -edge && x < box.clientWidth + edge && y < box.clientHeight + edge;
  }

  // The drawing

  function draw() {
    const ratio = window.devicePixelRatio;
    const [width, height] = [box.clientWidth, box.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio))
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const seen = shown();
    const pinned = thumbnails(seen);
    for (const place of model.get("stars"))
      if (seen.has(place) && !pinned.has(place)) star(place, api.getScreenPosition(place));
    if (pointer !== null && seen.has(pointer)) ring(api.getScreenPosition(pointer), 13);
    const pin = model.get("pinned");
    if (pin !== null && seen.has(pin)) ring(api.getScreenPosition(pin), 11);
  }

  function star(place, [x, y]) {
    if (!inside([x, y], 12)) return;
    const wrong = wrongs().has(place);
    const [ink, paper] = dark() ? ["#fff", "#111"] : ["#000", "#fff"];
    pen.globalAlpha = chosen.size && !chosen.has(place) ? 0.35 : 1;
    pen.beginPath();
    for (let k = 0; k < 10; k++) {
      const radius = k % 2 ? 3.6 : 8.5;
      const turn = (k * Math.PI) / 5 - Math.PI / 2;
      pen.lineTo(x + radius * Math.cos(turn), y + radius * Math.sin(turn));
    }
    pen.closePath();
    pen.fillStyle = colour(place);
    pen.lineJoin = "round";
    pen.lineWidth = wrong ? 2 : 1;
    pen.strokeStyle = wrong ? ink : paper;
    pen.fill();
    pen.stroke();
    pen.globalAlpha = 1;
  }

  function wrongs() {
    const places = model.get("wrong");
    if (wrongs.of !== places) [wrongs.of, wrongs.set] = [places, new Set(places)];
    return wrongs.set;
  }

  function ring([x, y], radius) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.lineWidth = 2;
    pen.strokeStyle = getComputedStyle(host).getPropertyValue("--jp-brand-color1") || "#1976d2";
    pen.stroke();
  }

  // Pictures where there is room, test images first; the places that have one are returned.
  function thumbnails(seen) {
    const drawn = new Set();
    canvas.dataset.pictures = 0;
    const scale = zoom();
    if (!model.get("pictures") || scale < ZOOMED) return drawn;
    const places = api.get("pointsInView").filter((place) => seen.has(place));
    if (!places.length || places.length > FEW) return drawn;
    const side = Math.min(SIDES[0] + 8 * (scale - ZOOMED), SIDES[1]);
    const step = side + 6;
    const taken = new Set();
    const tests = new Set(model.get("stars"));
    places.sort((a, b) => tests.has(b) - tests.has(a) || a - b);
    for (const place of places) {
      const [x, y] = api.getScreenPosition(place);
      if (!inside([x, y])) continue;
      const [column, row] = [Math.floor(x / step), Math.floor(y / step)];
      if (near(taken, column, row, x, y, step)) continue;
      const picture = pictures.get(place);
      if (picture === undefined) ask(place);
      if (!picture?.complete || !picture.naturalWidth) continue;
      const key = `${column},${row}`;
      taken.add(key);
      (near.at ??= new Map()).set(key, [x, y]);
      put(picture, place, x, y, side, tests.has(place));
      drawn.add(place);
    }
    canvas.dataset.pictures = drawn.size;
    return drawn;
  }

  function near(taken, column, row, x, y, step) {
    for (const c of [column - 1, column, column + 1])
      for (const r of [row - 1, row, row + 1]) {
        if (!taken.has(`${c},${r}`)) continue;
        const [u, v] = near.at.get(`${c},${r}`);
        if (Math.abs(u - x) < step && Math.abs(v - y) < step) return true;
      }
    return false;
  }

  function put(picture, place, x, y, side, test) {
    const scale = side / Math.max(picture.naturalWidth, picture.naturalHeight);
    const [width, height] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
    pen.globalAlpha = chosen.size && !chosen.has(place) ? 0.55 : 1;
    pen.drawImage(picture, x - width / 2, y - height / 2, width, height);
    pen.lineWidth = 3;
    pen.strokeStyle = colour(place);
    pen.strokeRect(x - width / 2, y - height / 2, width, height);
    pen.globalAlpha = 1;
    if (test) star(place, [x - width / 2, y - height / 2]);
  }

  function ask(place) {
    pictures.set(place, null);
    if (!asked.size) setTimeout(send, 30);
    asked.add(place);
  }

  function send() {
    const places = [...asked];
    for (let start = 0; start < places.length; start += AT_ONCE)
      model.send({ type: "thumbnails", places: places.slice(start, start + AT_ONCE) });
    asked = new Set();
  }

  function arrived(message) {
    if (message.type !== "thumbnails") return;
    for (const [place, uri] of Object.entries(message.pictures)) {
      if (!uri) continue;
      const picture = new Image();
      picture.onload = () => api?.redraw();
      picture.src = uri;
      pictures.set(Number(place), picture);
    }
  }

  // The views

  function look(places, padding) {
    const how = { padding, transition: true, transitionDuration: TURN };
    programmed++;
    (places.length ? api.zoomToPoints(places, how) : api.zoomToOrigin(how)).finally(() =>
      setTimeout(() => programmed--, REST),
    );
  }

  function fit() {
    look([...shown()], 0.15);
  }

  function toSelection() {
    const places = api.get("selectedPoints");
    if (places.length) look(places, 0.6);
    else fit();
  }

  function tall(height) {
    for (const each of [box, box.parentElement]) each.style.height = height ? `${height}px` : "";
    const own = height || model.get("height");
    if (!height) for (const each of [box, box.parentElement]) each.style.height = `${own}px`;
    api.set({ height: own });
  }

  function view() {
    return new DOMMatrix([...api.get("cameraView")]);
  }

  // What a hand does on this map is done on the others, from where each of them is.
  function moved() {
    const now = view();
    const step = programmed <= 0 ? now.multiply(last.inverse()) : null;
    last = now;
    const panel = host.closest(".workbench-panel");
    if (!step || panel?.dataset.apart) return;
    for (const other of panel.querySelectorAll(".workbench-map"))
      if (other !== host) other.workbench?.follow(step);
  }

  function follow(step) {
    last = step.multiply(view());
    api.view(last.toFloat32Array(), { preventEvent: true });
  }

  // The keyboard

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) event.shiftKey ? pan(arrow) : step(arrow);
    else if (event.key === "+" || event.key === "=") closer(1.4);
    else if (event.key === "-") closer(1 / 1.4);
    else if (event.key === "0" || event.key === "Home") fit();
    else if (event.key === "Enter" && pointer !== null) api.select([pointer]);
    else if (event.key === " " && pointer !== null)
      api.select([pointer], chosen.has(pointer) ? { remove: true } : { merge: true });
    else if (event.key === "Escape" && (pointer !== null || chosen?.size)) leave();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function leave() {
    pointer = null;
    api.hover(-1);
    api.deselect();
  }

  function turn(change) {
    api.view(change.multiply(view()).toFloat32Array());
  }

  function pan([x, y]) {
    turn(new DOMMatrix().translate(-0.2 * x, -0.2 * y));
  }

  function closer(by) {
    turn(new DOMMatrix().scale(by, by, 1));
  }

  function step([right, up]) {
    const points = api.get("points");
    const places = api.get("pointsInView").filter((place) => shown().has(place));
    if (!places.length) return;
    const centre = [box.clientWidth / 2, box.clientHeight / 2];
    const [x, y] = pointer === null ? centre : api.getScreenPosition(pointer);
    let best = null;
    let least = Infinity;
    for (const place of places) {
      if (place === pointer || !points[place]) continue;
      const [u, v] = api.getScreenPosition(place);
      const [along, aside] = [(u - x) * right - (v - y) * up, (u - x) * up + (v - y) * right];
      if (pointer !== null && along <= 0.5) continue;
      const far = pointer === null ? Math.hypot(u - x, v - y) : along + 2.5 * Math.abs(aside);
      if (far < least) [best, least] = [place, far];
    }
    if (best === null) return;
    pointer = best;
    api.hover(best);
    api.redraw();
  }

  const changed = () => {
    stale = true;
    if (box) box.setAttribute("aria-label", model.get("label"));
    api?.redraw();
  };
  const watched = "change:stars change:wrong change:revision change:pictures change:pinned";
  model.on(watched, changed);
  model.on("msg:custom", arrived);
  return () => {
    cancelAnimationFrame(waiting);
    clearTimeout(heard);
    themes?.disconnect();
    sizes?.disconnect();
    model.off(watched, changed);
    model.off("msg:custom", arrived);
    canvas.remove();
    if (host) delete host.workbench;
  };
}

export default { render };
