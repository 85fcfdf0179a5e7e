// Pixels of a plane: the same arithmetic as `unet/overlay.py`, so that picture, export and tests agree.

const AXIAL = "axial", CORONAL = "coronal", SAGITTAL = "sagittal";

/**
 * How to walk through a volume so that a plane comes out row by row; the cuts through the slices have the last one on top.
 * @param {Triple} shape
 * @param {Plane} plane
 * @param {number} at
 * @returns {Walk}
 */
function planeWalk(shape, plane, at) {
  const [slices, rows, columns] = shape;
  const slice = rows * columns;
  if (plane === CORONAL) {
    return { rows: slices, columns, start: (slices - 1) * slice + at * columns, down: -slice, right: 1 };
  }
  if (plane === SAGITTAL) {
    return { rows: slices, columns: rows, start: (slices - 1) * slice + at, down: -slice, right: columns };
  }
  return { rows, columns, start: at * slice, down: columns, right: 1 };
}

/**
 * Grey values 0 to 255 for every raw value, linear between the window's ends. For the eye only.
 * @param {Window_} window
 * @param {number} levels
 * @param {Unit} unit
 */
function greyTable(window, levels, unit) {
  const [low, high] = window;
  const span = Math.fround(Math.max(high - low, 1e-6));
  const table = new Uint8Array(levels);
  for (let raw = 0; raw < levels; raw++) {
    const share = Math.fround(Math.fround(Math.fround(raw * unit.scale + unit.offset) - Math.fround(low)) / span);
    table[raw] = Math.fround(Math.fround(Math.min(1, Math.max(0, share)) * 255) + 0.5);
  }
  return table;
}

/**
 * A picture value under a colour: one table for each of red, green and blue.
 * @param {Rgb} colour
 * @param {number} opacity
 */
function blendTables(colour, opacity) {
  return colour.map((value) => Uint8Array.from({ length: 256 }, (_, grey) => grey * (1 - opacity) + value * opacity + 0.5));
}

/** @param {number} value from 0 to 1 */
const toByte = (value) => Math.fround(Math.fround(value * 255) + 0.5);
const PROBABILITY_BYTES = Uint8Array.from(HALF_VALUES, toByte);

/** Draws planes of a study; keeps its arrays, as a new one for every frame would keep the collector busy. */
class Painter {
  /** @param {Palette} palette */
  constructor(palette) {
    this.palette = palette;
    /** @type {Map<string, Uint8Array>} */
    this.tables = new Map();
  }

  /**
   * Paint one plane, on its own grid.
   * @param {Study} study
   * @param {Plane} plane
   * @param {number} at
   * @param {Look} look
   */
  paint(study, plane, at, look) {
    const walk = planeWalk(study.shape, plane, at);
    const size = walk.rows * walk.columns;
    if (this.image?.width !== walk.columns || this.image?.height !== walk.rows) {
      this.image = new ImageData(walk.columns, walk.rows);
      this.classes = new Uint8Array(size);
    }
    this.paintPicture(study, walk, look);
    const model = study.models.get(look.model.id);
    if (["Predicted", "Expected", "Errors"].includes(look.overlay)) this.paintClasses(study, walk, look, model);
    else if (!model) return this.image; // the first prediction is still on its way
    else if (look.overlay === "Probability") this.paintValues(walk, look, (v) => PROBABILITY_BYTES[model.probability[v]]);
    else if (look.overlay.startsWith("Attention")) this.paintAttention(study, walk, look, model);
    return this.image;
  }

  /**
   * @param {Study} study
   * @param {Walk} walk
   * @param {Look} look
   */
  paintPicture(study, walk, look) {
    const levels = study.images.BYTES_PER_ELEMENT === 1 ? 256 : 65536;
    const channels = look.channel === "RGB" ? [0, 1, 2] : Array(3).fill(look.channel);
    const window = look.windows[look.channel];
    const [red, green, blue] = channels.map((channel) => this.table(window, levels, study.unit[channel]));
    const out = this.image.data;
    const { images } = study;
    for (let row = 0, p = 0; row < walk.rows; row++) {
      let v = walk.start + row * walk.down;
      for (let column = 0; column < walk.columns; column++, p += 4, v += walk.right) {
        out[p] = red[images[3 * v + channels[0]]];
        out[p + 1] = green[images[3 * v + channels[1]]];
        out[p + 2] = blue[images[3 * v + channels[2]]];
        out[p + 3] = 255;
      }
    }
  }

  /**
   * @param {Window_} window
   * @param {number} levels
   * @param {Unit} unit
   */
  table(window, levels, unit) {
    const key = `${window} ${levels} ${unit.scale} ${unit.offset}`;
    if (!this.tables.has(key)) {
      if (this.tables.size > 12) this.tables.clear();
      this.tables.set(key, greyTable(window, levels, unit));
    }
    return this.tables.get(key);
  }

  /**
   * Masks: which of up to three colours each pixel gets, then the colours.
   * @param {Study} study
   * @param {Walk} walk
   * @param {Look} look
   * @param {Model} [model]
   */
  paintClasses(study, walk, look, model) {
    const { classes } = this;
    /** @type {Rgb[]} */
    const colours = {
      Predicted: [this.palette.predicted],
      Expected: [this.palette.expected],
      Errors: [this.palette.found, this.palette.falsePositive, this.palette.missed],
    }[look.overlay];
    const slice = study.shape[1] * study.shape[2];
    const limit = halfBits(look.threshold);
    const probability = model?.probability;
    const filtered = study.filtered(look.model.id, look.threshold);
    for (let row = 0, i = 0; row < walk.rows; row++) {
      let v = walk.start + row * walk.down;
      const scored = study.hasMask[Math.floor(v / slice)];
      for (let column = 0; column < walk.columns; column++, i++, v += walk.right) {
        const predicted = filtered ? filtered[v] : probability && probability[v] >= limit ? 1 : 0;
        const expected = study.expected[v];
        if (look.overlay === "Predicted") classes[i] = predicted;
        else if (look.overlay === "Expected") classes[i] = expected;
        else classes[i] = !scored ? 0 : predicted ? 2 - expected : expected * 3;
      }
    }
    const through = 1 - look.opacity; // a line of one pixel covers more than an area does: as `unet.overlay`
    const opacity = look.outline ? 1 - through * through * through : look.opacity;
    const tables = colours.map((colour) => blendTables(colour, opacity));
    const out = this.image.data;
    for (let i = 0; i < classes.length; i++) {
      if (!classes[i] || (look.outline && !isEdge(classes, i, walk.columns, walk.rows))) continue;
      const [red, green, blue] = tables[classes[i] - 1];
      out[4 * i] = red[out[4 * i]];
      out[4 * i + 1] = green[out[4 * i + 1]];
      out[4 * i + 2] = blue[out[4 * i + 2]];
    }
  }

  /**
   * @param {Study} study
   * @param {Walk} walk
   * @param {Look} look
   * @param {Model} model
   */
  paintAttention(study, walk, look, model) {
    const level = Number(look.overlay.at(-1)) - 1;
    const { side, values } = model.attention[level];
    const { rows: rowCells, columns: columnCells } = look.model.cells[level];
    const [, rows, columns] = study.shape;
    this.paintValues(walk, look, (v) => {
      const z = Math.floor(v / (rows * columns));
      const y = Math.floor(v / columns) % rows;
      return values[(z * side + rowCells[y]) * side + columnCells[v % columns]];
    });
  }

  /**
   * A map of values over the whole plane, on the fixed scale from 0 to 1.
   * @param {Walk} walk
   * @param {Look} look
   * @param {(voxel: number) => number} byteAt
   */
  paintValues(walk, look, byteAt) {
    const out = this.image.data;
    const { scale } = this.palette;
    for (let row = 0, p = 0; row < walk.rows; row++) {
      let v = walk.start + row * walk.down;
      for (let column = 0; column < walk.columns; column++, p += 4, v += walk.right) {
        const colour = 3 * byteAt(v);
        for (let c = 0; c < 3; c++) out[p + c] = Math.floor(out[p + c] * (1 - look.opacity) + scale[colour + c] * look.opacity + 0.5);
      }
    }
  }
}

/**
 * Whether a pixel of a class touches, side or corner, another class or the rim.
 * @param {ArrayLike<number>} classes
 * @param {number} i
 * @param {number} columns
 * @param {number} rows
 */
function isEdge(classes, i, columns, rows) {
  const own = classes[i];
  const column = i % columns;
  const row = (i - column) / columns;
  if (!column || !row || column === columns - 1 || row === rows - 1) return true;
  for (let down = -columns; down <= columns; down += columns) {
    if (classes[i + down - 1] !== own || classes[i + down] !== own || classes[i + down + 1] !== own) return true;
  }
  return false;
}

/**
 * Put pixels on a canvas of their own size.
 * @param {ImageData} image
 */
function onCanvas(image, canvas = document.createElement("canvas")) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
