// Where a graph is painted: elements of SVG while there are some hundred boxes, a canvas above; moved and zoomed alike.
import { BOX, CELL, corner, curve, isBack, outline, roomOf, short, wording } from "./paint.js";
import { el } from "./common.js";
import { vector } from "./plots.js";

const ELEMENTS = 300; // boxes, at most, that are elements
const NARROWEST = 0.02, WIDEST = 2.5;

// "on" has choose(box), expand(box, side), hover(box or null), moved(view).
export class Stage {
  constructor(place, graph, on) {
    Object.assign(this, { place, graph, on, view: { k: 1, x: 20, y: 20 }, boxes: [], edges: [], colour: "state", lit: null, chosen: null, current: -1 });
    this.svg = vector("svg", { class: "picture", role: "group", "aria-label": "Graph" });
    this.layer = vector("g");
    this.svg.append(this.layer);
    this.canvas = el("canvas", { class: "picture", tabindex: "0", "aria-label": "Graph: arrow keys go from node to node; the list below has all of them" });
    this.place.append(this.svg, this.canvas);
    this.hands();
    new ResizeObserver(() => this.paint()).observe(place);
  }

  show(picture) {
    this.boxes = picture.boxes;
    this.edges = picture.edges.map((edge) => ({ ...edge, path: curve(picture.boxes[edge.from], picture.boxes[edge.to], edge.by), back: isBack(picture.boxes[edge.from], picture.boxes[edge.to]) }));
    this.size = { w: Math.max(1, picture.columns) * CELL.w - (CELL.w - BOX.w), h: Math.max(1, picture.rows) * CELL.h };
    this.elements = this.boxes.length <= ELEMENTS;
    this.svg.toggleAttribute("hidden", !this.elements);
    this.canvas.hidden = this.elements;
    this.current = Math.min(this.current, this.boxes.length - 1);
    this.layer.replaceChildren();
    if (this.elements) this.build();
    else this.forCanvas();
    this.paint();
  }

  // ---------------------------------------------------------------- elements

  build() {
    this.lines = this.edges.map((edge) => vector("path", { d: edge.path, class: "edge", "stroke-width": Math.min(6, 1.2 + Math.log2(edge.count)) }));
    this.items = this.boxes.map((box, place) => {
      const [x, y] = corner(box.at), made = vector("g", { class: "box", transform: `translate(${x} ${y})`, "data-box": place, tabindex: "-1", role: "button" });
      return made;
    });
    this.layer.append(...this.lines, ...this.items);
    this.words();
  }

  // What boxes say, in the colours that are chosen; of some of them where only those have changed.
  words(changed = null) {
    if (!this.elements) { this.forCanvas(); this.paint(); return; }
    for (const [place, box] of this.boxes.entries()) {
      if (changed && !changed(box)) continue;
      const said = wording(box, this.graph, this.colour), made = this.items[place];
      made.setAttribute("aria-label", said.aloud);
      made.dataset.css = said.css;
      made.replaceChildren(...[vector("title", {}, said.aloud),
        vector("path", { d: outline(said.kind), class: "outline" }), said.critical && vector("text", { x: BOX.w - 18, y: 17, class: "diamond" }, "◆"),
        vector("text", { x: 16, y: 18, class: "sign-of" }, said.sign), vector("text", { x: 28, y: 18, class: "first" }, short(said.first, roomOf(said.kind))), vector("text", { x: 16, y: 34, class: "second" }, short(said.second, 28)),
        ...(box.group === undefined ? [this.handle(box, "before", -4), this.handle(box, "after", BOX.w + 4)] : [vector("text", { x: BOX.w - 18, y: 34, class: "second" }, "▸")])].filter(Boolean));
    }
    this.light();
  }

  handle(box, side, x) {
    if (!box[side] || this.on.embedded) return null;
    return vector("g", { class: "handle", "data-side": side, transform: `translate(${x} ${BOX.h / 2})` },
      vector("title", {}, `${box[side]} more ${side} it: show them`), vector("circle", { r: 10 }), vector("text", { y: 4 }, box[side] > 99 ? "99+" : `+${box[side]}`));
  }

  light() {
    if (!this.elements) { this.paint(); return; }
    for (const [place, made] of this.items.entries()) {
      const box = this.boxes[place];
      const side = this.lit ? (this.lit.before.has(place) ? " before" : this.lit.after.has(place) ? " after" : place === this.lit.of ? " of" : " faint") : "";
      made.setAttribute("class", `box ${made.dataset.css}${side}${this.isChosen(box) ? " chosen" : ""}`);
      made.setAttribute("tabindex", place === Math.max(0, this.current) ? "0" : "-1");
    }
    for (const [place, edge] of this.edges.entries()) this.lines[place].setAttribute("class", `edge ${this.sideOf(edge)}${edge.back ? " back" : ""}`);
  }

  isChosen(box) { return this.chosen !== null && box.node === this.chosen; }

  sideOf(edge) {
    if (!this.lit) return "";
    const { before, after, of } = this.lit;
    if ((before.has(edge.from) || edge.from === of) && (before.has(edge.to) || edge.to === of) && edge.from !== of) return "before";
    if ((after.has(edge.to) || edge.to === of) && (after.has(edge.from) || edge.from === of) && edge.to !== of) return "after";
    return "faint";
  }

  // Boxes before and after one among those that are shown.
  lightUp(of) {
    if (of === null) this.lit = null;
    else {
      const reach = (from, to) => {
        const next = new Map();
        for (const edge of this.edges) next.set(edge[from], [...(next.get(edge[from]) || []), edge[to]]);
        const found = new Set(), open = [of];
        while (open.length) for (const one of next.get(open.pop()) || []) if (!found.has(one) && one !== of) { found.add(one); open.push(one); }
        return found;
      };
      this.lit = { of, before: reach("to", "from"), after: reach("from", "to") };
    }
    this.light();
  }

  // ---------------------------------------------------------------- canvas

  forCanvas() {
    this.drawn = this.boxes.map((box) => wording(box, this.graph, this.colour));
    this.shapes = this.drawn.map((said) => new Path2D(outline(said.kind)));
    this.curves = this.edges.map((edge) => new Path2D(edge.path));
    this.inks = new Map();
  }

  // The colours of a class, as the style sheet has them.
  ink(css) {
    if (!this.inks.has(css)) {
      const probe = el("i", { class: `box ${css}` });
      this.place.append(probe);
      const style = getComputedStyle(probe);
      this.inks.set(css, { fill: style.backgroundColor, line: style.borderTopColor, text: style.color });
      probe.remove();
    }
    return this.inks.get(css);
  }

  paint() {
    const { k, x, y } = this.view;
    if (this.elements) { this.layer.setAttribute("transform", `translate(${x} ${y}) scale(${k})`); return; }
    if (!this.drawn) return;
    const scale = devicePixelRatio || 1, { clientWidth: w, clientHeight: h } = this.place;
    if (this.canvas.width !== Math.round(w * scale) || this.canvas.height !== Math.round(h * scale)) { this.canvas.width = Math.round(w * scale); this.canvas.height = Math.round(h * scale); }
    const pen = this.canvas.getContext("2d"), css = getComputedStyle(this.place);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, w, h);
    pen.setTransform(scale * k, 0, 0, scale * k, scale * x, scale * y);
    const [left, top, right, bottom] = [-x / k, -y / k, (w - x) / k, (h - y) / k];
    const seen = (box) => { const [bx, by] = corner(box.at); return bx + BOX.w > left && bx < right && by + BOX.h > top && by < bottom; };
    const shades = { "": css.getPropertyValue("--edge").trim(), faint: css.getPropertyValue("--line"), before: css.getPropertyValue("--retry"), after: css.getPropertyValue("--focus") };
    for (const [place, edge] of this.edges.entries()) {
      const [from, to] = [this.boxes[edge.from], this.boxes[edge.to]], side = this.sideOf(edge);
      if (Math.max(from.at[0], to.at[0]) * CELL.w + BOX.w < left || Math.min(from.at[0], to.at[0]) * CELL.w > right) continue;
      pen.strokeStyle = shades[side];
      pen.lineWidth = (side === "" || side === "faint" ? 0.8 : 2) / k;
      pen.stroke(this.curves[place]);
    }
    for (const [place, box] of this.boxes.entries()) if (seen(box)) this.stamp(pen, place, k);
  }

  stamp(pen, place, k) {
    const box = this.boxes[place], said = this.drawn[place], ink = this.ink(said.css), [x, y] = corner(box.at);
    const faint = this.lit && place !== this.lit.of && !this.lit.before.has(place) && !this.lit.after.has(place);
    pen.save();
    pen.translate(x, y);
    pen.globalAlpha = faint ? 0.25 : 1;
    pen.fillStyle = ink.fill;
    pen.fill(this.shapes[place]);
    const outlined = place === this.current || this.isChosen(box);
    pen.strokeStyle = ink.line;
    pen.lineWidth = (outlined ? 4 : 1.5) / Math.min(1, k * 1.6);
    pen.stroke(this.shapes[place]);
    pen.fillStyle = ink.text;
    if (k > 0.42) {
      pen.font = "600 12.5px system-ui, sans-serif";
      pen.fillText(said.sign, 11, 18);
      pen.fillText(short(said.first, roomOf(said.kind)), 28, 18);
      pen.font = "11px system-ui, sans-serif";
      pen.fillText(short(said.second, 28), 16, 34);
    } else if (k > 0.08) {
      pen.font = "30px system-ui, sans-serif";
      pen.fillText(said.sign, BOX.w / 2 - 12, 32);
    }
    pen.restore();
  }

  // ---------------------------------------------------------------- where it is looked at

  fit() {
    const { clientWidth: w, clientHeight: h } = this.place;
    const k = Math.max(NARROWEST, Math.min(1, (w - 40) / this.size.w, (h - 32) / this.size.h));
    this.view = { k, x: Math.max(20, (w - this.size.w * k) / 2), y: Math.max(12, (h - this.size.h * k) / 2) };
    this.moved();
  }

  // All of it where it can be read, else its beginning or what it is about.
  begin(about = null) {
    this.fit();
    const least = Math.min(0.62, this.place.clientWidth / (BOX.w * 1.6));
    if (this.view.k >= least || !this.elements) return;
    this.view.k = least;
    this.centre(about ?? 0);
    const { clientWidth: w, clientHeight: h } = this.place; // no more emptiness than there has to be
    const within = (at, size, room, edge) => (size + 2 * edge <= room ? Math.round((room - size) / 2) : Math.min(edge, Math.max(room - edge - size, at)));
    this.view.x = within(this.view.x, this.size.w * least, w, 20);
    this.view.y = within(this.view.y, this.size.h * least, h, 12);
    this.moved();
  }

  centre(place) {
    const box = this.boxes[place];
    if (!box) return;
    const [x, y] = corner(box.at), { clientWidth: w, clientHeight: h } = this.place;
    this.view.x = Math.round(w / 2 - (x + BOX.w / 2) * this.view.k);
    this.view.y = Math.round(h / 2 - (y + BOX.h / 2) * this.view.k);
    this.moved();
  }

  zoom(factor, at = null) {
    const { clientWidth: w, clientHeight: h } = this.place, [px, py] = at || [w / 2, h / 2];
    const k = Math.min(WIDEST, Math.max(NARROWEST, this.view.k * factor)), by = k / this.view.k;
    this.view = { k, x: px - (px - this.view.x) * by, y: py - (py - this.view.y) * by };
    this.moved();
  }

  moved() { this.paint(); this.on.moved(this.view); }

  // Where a box is seen, so that it can stay there when others come.
  spot(place) { const [x, y] = corner(this.boxes[place].at); return [this.view.x + x * this.view.k, this.view.y + y * this.view.k]; }
  stay(place, [x, y]) {
    const [nx, ny] = corner(this.boxes[place].at);
    this.view.x = x - nx * this.view.k;
    this.view.y = y - ny * this.view.k;
    this.moved();
  }

  at(event) {
    const made = event.target.closest?.("[data-box]");
    if (made) return [Number(made.dataset.box), event.target.closest("[data-side]")?.dataset.side];
    if (this.elements) return [-1];
    const bounds = this.canvas.getBoundingClientRect(), { k, x, y } = this.view;
    const [px, py] = [(event.clientX - bounds.left - x) / k, (event.clientY - bounds.top - y) / k];
    return [this.boxes.findIndex((box) => { const [bx, by] = corner(box.at); return px >= bx && px <= bx + BOX.w && py >= by && py <= by + BOX.h; })];
  }

  hands() {
    const fingers = new Map();
    let moved = 0, apart = 0;
    this.place.addEventListener("pointerdown", (event) => { if (event.button) return; fingers.set(event.pointerId, [event.clientX, event.clientY]); moved = 0; apart = 0; });
    this.place.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) { this.on.hover(this.at(event)[0]); return; }
      const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      moved += Math.abs(dx) + Math.abs(dy);
      if (fingers.size === 2) {
        const [one, other] = [...fingers.values()], wide = Math.hypot(one[0] - other[0], one[1] - other[1]);
        const bounds = this.place.getBoundingClientRect();
        if (apart) this.zoom(wide / apart, [(one[0] + other[0]) / 2 - bounds.left, (one[1] + other[1]) / 2 - bounds.top]);
        apart = wide;
      } else if (moved > 4) {
        if (!this.place.hasPointerCapture(event.pointerId)) this.place.setPointerCapture(event.pointerId);
        this.view.x += dx;
        this.view.y += dy;
        this.moved();
      }
    });
    const up = (event) => { fingers.delete(event.pointerId); apart = 0; };
    this.place.addEventListener("pointerup", up);
    this.place.addEventListener("pointercancel", up);
    this.place.addEventListener("pointerleave", () => this.on.hover(-1));
    this.place.addEventListener("click", (event) => {
      const [place, side] = this.at(event);
      if (moved > 4 || place < 0) return;
      this.current = place;
      if (side) this.on.expand(place, side);
      else this.on.choose(place);
    });
    this.place.addEventListener("wheel", (event) => {
      if (this.on.embedded && !event.ctrlKey) return; // the page scrolls
      event.preventDefault();
      const bounds = this.place.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), [event.clientX - bounds.left, event.clientY - bounds.top]);
    }, { passive: false });
    this.place.addEventListener("focusin", (event) => { const made = event.target.closest("[data-box]"); if (made) { this.current = Number(made.dataset.box); } });
  }

  // To the next box in a direction: [columns, rows].
  step(dx, dy) {
    const here = this.boxes[this.current];
    let best = here ? -1 : 0, least = Infinity;
    for (const [place, box] of here ? this.boxes.entries() : []) {
      const [x, y] = [box.at[0] - here.at[0], box.at[1] - here.at[1]], along = x * dx + y * dy, aside = Math.abs(dx ? y : x * 4);
      if (place === this.current || along <= 0.2) continue;
      if (along * (dx ? 6 : 1) + aside < least) { least = along * (dx ? 6 : 1) + aside; best = place; }
    }
    if (best >= 0) this.go(best);
  }

  go(place) {
    this.current = place;
    const [x, y] = this.spot(place), { clientWidth: w, clientHeight: h } = this.place;
    if (x < 0 || y < 0 || x + BOX.w * this.view.k > w || y + BOX.h * this.view.k > h) this.centre(place);
    this.light();
    if (this.elements) this.items[place].focus({ preventScroll: true });
    else { this.canvas.focus({ preventScroll: true }); this.paint(); }
    this.on.hover(place);
  }
}
