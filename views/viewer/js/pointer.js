// What mouse, pen, finger and wheel do on a pane.

const DRAG_PER_SLICE = 12; // screen pixels a finger moves for one slice
const WHEEL_PER_SLICE = 40; // a notch of a wheel is 100 or more, a trackpad sends many small steps

class Pointer {
  /** @param {Pane} pane */
  constructor(pane) {
    this.pane = pane;
    /** @type {Map<number, PointerEvent>} those that are down */
    this.pointers = new Map();
    /** @type {string | undefined} what the drag does */
    this.action = undefined;
    this.wheeled = 0;
    this.dragged = 0;
    this.listen();
  }

  listen() {
    const on = (name, handler) => this.pane.canvas.addEventListener(name, handler, { passive: false });
    on("wheel", (event) => this.wheel(event));
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.up(event));
    on("pointerleave", () => this.pane.viewer.hover(undefined));
    on("contextmenu", (event) => event.preventDefault());
    on("focus", () => (this.pane.viewer.plane = this.pane.plane));
  }

  wheel(event) {
    event.preventDefault();
    if (!this.pane.image) return;
    const delta = event.deltaMode ? event.deltaY * WHEEL_PER_SLICE : event.deltaY;
    if (event.ctrlKey || event.metaKey) return this.pane.zoomAt(event, Math.exp(-delta / 300)); // a pinch on a trackpad, too
    if (Math.sign(delta) !== Math.sign(this.wheeled)) this.wheeled = 0;
    this.wheeled += delta;
    const whole = Math.trunc(this.wheeled / WHEEL_PER_SLICE);
    if (!whole) return;
    // a notch of a mouse wheel is one slice, however far the system says it goes
    this.wheeled = Math.abs(delta) >= WHEEL_PER_SLICE ? 0 : this.wheeled - whole * WHEEL_PER_SLICE;
    this.pane.viewer.step(this.pane.plane, -Math.sign(whole));
  }

  down(event) {
    event.preventDefault();
    this.pane.canvas.focus({ preventScroll: true });
    if (!this.pane.image) return;
    this.pane.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.action = this.actionFor(event);
    this.dragged = 0;
    const point = this.pane.toImage(event);
    if (this.action === "crosshair") this.pane.viewer.moveTo(this.pane.toVoxel(point));
    if (this.action === "measure") this.pane.viewer.measure([point, point]);
    if (this.action === "outline") this.pane.viewer.drawOutline("begin", point);
  }

  actionFor(event) {
    if (event.pointerType === "touch") {
      if (this.action === "outline") this.pane.viewer.do("undo"); // that was the first of two fingers
      if (this.pointers.size > 1) return "pinch";
      return this.tool() === "move" ? "scroll" : this.tool();
    }
    if (event.button === 2) return "window";
    if (event.button === 1 || event.shiftKey) return "pan";
    return { move: this.pane.viewer.state.layout === "planes" ? "crosshair" : "pan" }[this.tool()] ?? this.tool();
  }

  /** What the left button does here: outlines and distances belong to axial slices. */
  tool() {
    const { tool } = this.pane.viewer.state;
    if (this.pane.plane !== AXIAL || tool === "move") return "move";
    return tool === "measure" ? "measure" : "outline";
  }

  move(event) {
    if (!this.pane.image) return;
    const before = this.pointers.get(event.pointerId);
    const point = this.pane.toImage(event);
    this.pane.viewer.hover(this.pane.toVoxel(point));
    if (!before) return;
    event.preventDefault();
    /** @type {Point} */
    const moved = [event.clientX - before.clientX, event.clientY - before.clientY];
    const pinch = this.action === "pinch" && this.pointers.size === 2 ? this.spread() : undefined;
    this.pointers.set(event.pointerId, event);
    if (this.action === "window") this.pane.viewer.windowBy(...moved);
    else if (this.action === "pan") this.pane.pan(moved);
    else if (this.action === "crosshair") this.pane.viewer.moveTo(this.pane.toVoxel(point));
    else if (this.action === "measure") this.pane.viewer.measure([this.pane.viewer.measured?.[0] ?? point, point]);
    else if (this.action === "outline") this.pane.viewer.drawOutline("extend", point);
    else if (this.action === "scroll") this.scroll(moved[1]);
    else if (pinch) {
      this.pane.zoomAt(event, this.spread() / pinch);
      this.pane.pan([moved[0] / 2, moved[1] / 2]);
    }
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.action === "outline") this.pane.viewer.drawOutline("end");
    this.action = undefined;
  }

  scroll(down) {
    this.dragged += down;
    const whole = Math.trunc(this.dragged / DRAG_PER_SLICE);
    if (!whole) return;
    this.dragged -= whole * DRAG_PER_SLICE;
    this.pane.viewer.step(this.pane.plane, -whole);
  }

  spread() {
    const [one, other] = [...this.pointers.values()];
    return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  }
}
