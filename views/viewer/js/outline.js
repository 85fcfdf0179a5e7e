// What the visitor draws on a slice: a distance, and an outline of their own that is scored like a prediction.

class Outline {
  constructor(strokes = []) {
    /** @type {Stroke[]} */
    this.strokes = strokes;
    /** @type {Map<number, Uint8Array>} by slice */
    this.masks = new Map();
  }

  /**
   * @param {number} slice
   * @param {Stroke["kind"]} kind
   * @param {number} radius
   * @param {Point} point
   */
  begin(slice, kind, radius, point) {
    this.current = { slice, kind, radius, points: [point] };
    this.strokes.push(this.current);
    this.masks.delete(slice);
  }

  /** @param {Point} point */
  extend(point) {
    const stroke = this.current;
    if (!this.strokes.includes(stroke)) return; // taken back while it was being drawn
    const [x, y] = stroke.points.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) < 0.5) return;
    stroke.points.push(point);
    this.masks.delete(stroke.slice);
  }

  /**
   * Take back the last stroke on a slice.
   * @param {number} slice
   */
  undo(slice) {
    const last = this.strokes.findLastIndex((stroke) => stroke.slice === slice);
    if (last >= 0) this.strokes.splice(last, 1);
    this.masks.delete(slice);
  }

  /** @param {number} slice */
  clear(slice) {
    this.strokes = this.strokes.filter((stroke) => stroke.slice !== slice);
    this.masks.delete(slice);
  }

  /**
   * The visitor's mask of a slice in {0, 1}, or undefined where nothing was drawn.
   * @param {number} slice
   * @param {number} rows
   * @param {number} columns
   */
  mask(slice, rows, columns) {
    const strokes = this.strokes.filter((stroke) => stroke.slice === slice);
    if (!strokes.length) return undefined;
    if (!this.masks.has(slice)) {
      const context = Object.assign(document.createElement("canvas"), { width: columns, height: rows })
        .getContext("2d", { willReadFrequently: true });
      for (const stroke of strokes) fillStroke(context, stroke);
      const { data } = context.getImageData(0, 0, columns, rows);
      this.masks.set(slice, Uint8Array.from({ length: rows * columns }, (_, i) => (data[4 * i + 3] >= 128 ? 1 : 0)));
    }
    return this.masks.get(slice);
  }
}

/**
 * Draw a stroke in image coordinates; pixel (0, 0) reaches from 0 to 1.
 * @param {CanvasRenderingContext2D} context
 * @param {Stroke} stroke
 */
function fillStroke(context, { kind, radius, points }) {
  context.globalCompositeOperation = kind === "erase" ? "destination-out" : "source-over";
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  if (kind === "lasso") return context.fill();
  if (points.length === 1) context.lineTo(points[0][0] + 0.01, points[0][1]);
  context.lineWidth = 2 * radius;
  context.lineCap = context.lineJoin = "round";
  context.stroke();
}

/**
 * Dice of two masks, or undefined where both are empty: there is no overlap to measure.
 * @param {ArrayLike<number>} one
 * @param {ArrayLike<number>} other
 */
function diceOf(one, other) {
  let both = 0, total = 0;
  for (let i = 0; i < one.length; i++) {
    both += one[i] & other[i];
    total += one[i] + other[i];
  }
  return total ? (2 * both) / total : undefined;
}

/**
 * "12.3 mm" where the header gives a spacing, else "40.1 px".
 * @param {[Point, Point]} ends
 * @param {Triple} [spacing]
 */
function distanceText([[x0, y0], [x1, y1]], spacing) {
  if (!spacing) return `${Math.hypot(x1 - x0, y1 - y0).toFixed(1)} px`;
  return `${Math.hypot((x1 - x0) * spacing[2], (y1 - y0) * spacing[1]).toFixed(1)} mm`;
}
