// Grey values, colours and windows; the expected bytes are those of unet/overlay.py.

import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.mjs";

const { AXIAL, CORONAL, Painter, Study, Viewer, greyTable, blendTables, halfBits, scaleGradient } = load(
  "AXIAL", "CORONAL", "Painter", "Study", "Viewer", "greyTable", "blendTables", "halfBits", "scaleGradient",
);
const UNIT = { scale: 1, offset: 0 };

test("a window maps its lower end to black and its upper end to white", () => {
  const table = greyTable([50, 150], 256, UNIT);
  assert.deepEqual([0, 50, 75, 100, 150, 255].map((raw) => table[raw]), [0, 0, 64, 128, 255, 255]);
});

test("raw values are read in the scanner's unit", () => {
  const table = greyTable([-100, 100], 65536, { scale: 0.5, offset: -100 });
  assert.deepEqual([0, 200, 400, 65535].map((raw) => table[raw]), [0, 128, 255, 255]);
});

test("a window without width is a step and not a division by zero", () => {
  const table = greyTable([100, 100], 256, UNIT);
  assert.deepEqual([99, 100, 101].map((raw) => table[raw]), [0, 0, 255]);
});

test("opacity mixes the picture with a colour", () => {
  const [red, , blue] = blendTables([230, 159, 0], 0.45);
  assert.deepEqual([red[0], red[100], red[255]], [104, 159, 244]);
  assert.deepEqual([blue[0], blue[100], blue[255]], [0, 55, 140]);
});

const PALETTE = {
  predicted: [230, 159, 0], expected: [86, 180, 233], found: [0, 158, 115], falsePositive: [230, 159, 0], missed: [204, 121, 167],
  scale: Array.from({ length: 256 }, (_, i) => [i, 0, 255 - i]).flat(),
};

/** One slice of 3 × 4, all grey 100; expected are the columns 0 and 1, predicted 1 and 2. */
function scene() {
  const study = new Study("v");
  const rows = 3, columns = 4;
  const images = new Uint8Array(3 * rows * columns).fill(100);
  const bits = Uint8Array.from([0b1100_1100, 0b1100_0000]);
  study.addVolume({ first: 0, end: 1, shape: [1, rows, columns], unit: [UNIT, UNIT, UNIT], has_mask: [true], brain: [9] }, { images, expected: bits });
  const probability = Uint16Array.from({ length: rows * columns }, (_, i) => halfBits([0.02, 0.5, 1, 0.4][i % columns]));
  const attention = Object.fromEntries([1, 2, 3, 4].map((level) => [`attention_${level}`, Uint8Array.from([0, 255, 128, 64])]));
  const rule = { min_share: 0, min_voxels: 0 };
  study.addPrediction({ model: "m", first: 0, end: 1, shape: [1, rows, columns], sides: [2, 2, 2, 2], rule }, { probability, ...attention });
  const cells = Array(4).fill({ rows: [0, 0, 1], columns: [0, 0, 1, 1] });
  const windows = { 0: [0, 255], 1: [0, 255], 2: [0, 255], RGB: [0, 255] };
  const look = { channel: 1, windows, overlay: "None", outline: false, opacity: 0.5, threshold: 0.5, model: { id: "m", cells } };
  return { study, look, painter: new Painter(PALETTE) };
}

/** The colours of the middle row. */
function middle({ study, look, painter }, changes) {
  const { data } = painter.paint(study, AXIAL, 0, { ...look, ...changes });
  return Array.from({ length: 4 }, (_, x) => plain(data.subarray(4 * (4 + x), 4 * (4 + x) + 3)));
}

const GREY = [100, 100, 100], ORANGE = [165, 130, 50], BLUE = [93, 140, 167], GREEN = [50, 129, 108], PINK = [152, 111, 134];

test("without an overlay the picture is grey", () => {
  assert.deepEqual(middle(scene(), {}), [GREY, GREY, GREY, GREY]);
  assert.deepEqual(middle(scene(), { channel: "RGB" }), [GREY, GREY, GREY, GREY]);
});

test("masks, and the three kinds of errors", () => {
  assert.deepEqual(middle(scene(), { overlay: "Predicted" }), [GREY, ORANGE, ORANGE, GREY]);
  assert.deepEqual(middle(scene(), { overlay: "Expected" }), [BLUE, BLUE, GREY, GREY]);
  assert.deepEqual(middle(scene(), { overlay: "Errors" }), [PINK, GREEN, ORANGE, GREY]);
});

test("the mask follows the threshold", () => {
  assert.deepEqual(middle(scene(), { overlay: "Predicted", threshold: 0.4 }), [GREY, ORANGE, ORANGE, ORANGE]);
  assert.deepEqual(middle(scene(), { overlay: "Predicted", threshold: 0.51 }), [GREY, GREY, ORANGE, GREY]);
});

test("a slice without an expected mask has no errors", () => {
  const one = scene();
  one.study.hasMask = [false];
  assert.deepEqual(middle(one, { overlay: "Errors" }), [GREY, GREY, GREY, GREY]);
});

test("an outline leaves the inside and covers more than an area", () => {
  const threeWide = middle(scene(), { overlay: "Predicted", threshold: 0.4, outline: true });
  assert.deepEqual(threeWide[2], GREY); // inside: columns 1 to 3 are lesion in each row
  assert.deepEqual(threeWide[1], [214, 152, 13]); // opacity 1 − 0.5³
});

test("probability is on the fixed scale from 0 to 1", () => {
  assert.deepEqual(middle(scene(), { overlay: "Probability", opacity: 1 }), [[5, 0, 250], [128, 0, 127], [255, 0, 0], [102, 0, 153]]);
});

test("an attention map lies over the cells that it was computed for", () => {
  assert.deepEqual(middle(scene(), { overlay: "Attention 1", opacity: 1 }), [[0, 0, 255], [0, 0, 255], [255, 0, 0], [255, 0, 0]]);
  const { study, look, painter } = scene();
  const { data } = painter.paint(study, AXIAL, 0, { ...look, overlay: "Attention 4", opacity: 1 });
  assert.deepEqual(plain(data.subarray(4 * 8, 4 * 8 + 3)), [128, 0, 127]); // the last row is in the second row of cells
});

test("a network that has not answered leaves the picture", () => {
  const one = scene();
  one.study.models.clear();
  for (const overlay of ["Predicted", "Probability", "Attention 2"]) assert.deepEqual(middle(one, { overlay }), [GREY, GREY, GREY, GREY]);
});

test("a cut through the slices has its own size", () => {
  const { study, look, painter } = scene();
  const image = painter.paint(study, CORONAL, 0, { ...look, overlay: "Expected" });
  assert.deepEqual([image.width, image.height], [4, 1]);
  assert.deepEqual(plain(image.data.subarray(0, 3)), BLUE);
});

test("tables are made once and not kept without end", () => {
  const { painter } = scene();
  assert.equal(painter.table([0, 1], 256, UNIT), painter.table([0, 1], 256, UNIT));
  for (let high = 1; high < 50; high++) painter.table([0, high], 256, UNIT);
  assert.ok(painter.tables.size <= 13);
});

test("the legend of the scale goes through its colours", () => {
  assert.match(scaleGradient(PALETTE.scale), /^linear-gradient\(to right, rgb\(0,0,255\), .*, rgb\(255,0,0\)\)$/);
});

/** A viewer that only has what windows and cameras need. */
function viewer() {
  const made = Object.assign(Object.create(Viewer.prototype), {
    state: { channel: "FLAIR" }, data: { windows: { 1: [0, 200] }, shape: [5, 4, 4] }, presets: {}, plane: AXIAL, position: [2, 0, 0],
    cameras: { [AXIAL]: { zoom: 1, x: 0.2, y: 0.7 } }, changed() {},
  });
  made.windows = { 1: [0, 200] };
  return made;
}

test("dragging sideways widens the window, downwards raises it", () => {
  const one = viewer();
  one.windowBy(150, 0); // half of the opening window's width more
  assert.deepEqual(plain(one.windows[1]), [-50, 250]);
  one.windowBy(0, 30);
  assert.deepEqual(plain(one.windows[1]), [-30, 270]);
  one.windowBy(-10_000, 0); // never narrower than a hundredth
  assert.deepEqual(plain(one.windows[1]), [119, 121]);
  assert.equal(one.presets[1], "");
});

test("presets of the window", () => {
  const one = viewer();
  one.preset("Bright parts");
  assert.deepEqual(plain(one.windows[1]), [100, 200]);
  one.preset("Dark parts");
  assert.deepEqual(plain(one.windows[1]), [0, 100]);
  one.preset("As opened");
  assert.deepEqual(plain(one.windows[1]), [0, 200]);
});

test("steps end at the first and the last slice", () => {
  const one = viewer();
  one.step(AXIAL, Infinity);
  assert.deepEqual(plain(one.position), [4, 0, 0]);
  one.step(AXIAL, -5);
  assert.deepEqual(plain(one.position), [0, 0, 0]);
});

test("zooming out ends at the whole picture, in the middle", () => {
  const one = viewer();
  one.zoom(2);
  assert.deepEqual({ ...one.cameras[AXIAL] }, { zoom: 2, x: 0.2, y: 0.7 });
  one.zoom(0.1);
  assert.deepEqual({ ...one.cameras[AXIAL] }, { zoom: 1, x: 0.5, y: 0.5 });
});
