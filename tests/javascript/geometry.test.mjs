// Where a voxel lies on screen, and the other way round.

import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.mjs";

const { AXIAL, CORONAL, SAGITTAL, MAX_ZOOM, Pane, planeWalk, isEdge, distanceText, areaText, volumeText } = load(
  "AXIAL", "CORONAL", "SAGITTAL", "MAX_ZOOM", "Pane", "planeWalk", "isEdge", "distanceText", "areaText", "volumeText",
);
const SHAPE = [3, 4, 5]; // slices, rows, columns

/** The voxels of a plane, row by row, as [z, y, x]. */
function walked(plane, at) {
  const walk = planeWalk(SHAPE, plane, at);
  const [, rows, columns] = SHAPE;
  return Array.from({ length: walk.rows }, (_, row) =>
    Array.from({ length: walk.columns }, (_, column) => {
      const v = walk.start + row * walk.down + column * walk.right;
      return [Math.floor(v / (rows * columns)), Math.floor(v / columns) % rows, v % columns];
    }),
  );
}

test("an axial plane is a slice as it is stored", () => {
  const plane = walked(AXIAL, 1);
  assert.deepEqual([plane.length, plane[0].length], [4, 5]);
  assert.deepEqual(plane[0][0], [1, 0, 0]);
  assert.deepEqual(plane[3][4], [1, 3, 4]);
});

test("a coronal plane has the last slice on top and the columns from left to right", () => {
  const plane = walked(CORONAL, 2);
  assert.deepEqual([plane.length, plane[0].length], [3, 5]);
  assert.deepEqual(plane[0][0], [2, 2, 0]);
  assert.deepEqual(plane[2][4], [0, 2, 4]);
});

test("a sagittal plane has the last slice on top and the rows from left to right", () => {
  const plane = walked(SAGITTAL, 3);
  assert.deepEqual([plane.length, plane[0].length], [3, 4]);
  assert.deepEqual(plane[0][0], [2, 0, 3]);
  assert.deepEqual(plane[2][3], [0, 3, 3]);
});

/** A pane of 200 × 100 canvas pixels on a screen with two of them for each CSS pixel. */
function pane(plane, { spacing = [1, 1, 1], position = [1, 2, 3] } = {}) {
  const size = { [AXIAL]: [5, 4], [CORONAL]: [5, 3], [SAGITTAL]: [4, 3] }[plane];
  const box = { left: 10, top: 20, width: 100, height: 50 };
  const viewer = { spacing, position, study: { shape: SHAPE }, redraw() {} };
  const canvas = { width: 200, height: 100, getBoundingClientRect: () => box };
  const image = { width: size[0], height: size[1] };
  const made = Object.assign(Object.create(Pane.prototype), { viewer, plane, canvas, image, camera: { zoom: 1, x: 0.5, y: 0.5 }, ratio: 2 });
  made.place();
  return made;
}

test("a picture fills its pane and lies in the middle", () => {
  const axial = pane(AXIAL); // 5 × 4 in 200 × 100: 25 for each pixel
  assert.deepEqual([axial.stepX, axial.stepY, axial.left, axial.top], [25, 25, 37.5, 0]);
  assert.deepEqual(plain(axial.toScreen([0, 0])), [37.5, 0]);
  assert.deepEqual(plain(axial.toScreen([5, 4])), [162.5, 100]);
});

test("spacing stretches a plane", () => {
  const spacing = [4, 2, 1]; // slice, row, column
  assert.deepEqual(plain(pane(AXIAL, { spacing }).pixelSize()), [1, 2]);
  assert.deepEqual(plain(pane(CORONAL, { spacing }).pixelSize()), [1, 4]);
  assert.deepEqual(plain(pane(SAGITTAL, { spacing }).pixelSize()), [2, 4]);
  const { stepX, stepY } = pane(CORONAL, { spacing }); // 5 × 12 mm in 200 × 100
  assert.deepEqual([stepX, stepY], [100 / 12, 400 / 12]);
});

test("a pointer finds the voxel under it, in each plane", () => {
  for (const plane of [AXIAL, CORONAL, SAGITTAL]) {
    const one = pane(plane);
    const at = { [AXIAL]: 1, [CORONAL]: 2, [SAGITTAL]: 3 }[plane];
    walked(plane, at).forEach((row, y) =>
      row.forEach((voxel, x) => {
        const [screenX, screenY] = one.toScreen([x + 0.5, y + 0.5]);
        const point = one.toImage({ clientX: 10 + screenX / 2, clientY: 20 + screenY / 2 });
        assert.deepEqual(plain(one.toVoxel(point)), voxel);
      }),
    );
  }
});

test("outside the picture there is no voxel", () => {
  const axial = pane(AXIAL);
  for (const point of [[-0.1, 0], [0, -0.1], [5, 0], [0, 4]]) assert.equal(axial.toVoxel(point), undefined);
  axial.image = undefined;
  assert.equal(axial.toVoxel([0, 0]), undefined);
});

test("zooming keeps what is under the pointer", () => {
  const axial = pane(AXIAL);
  const event = { clientX: 35, clientY: 30 };
  const before = axial.toImage(event);
  axial.zoomAt(event, 2);
  axial.place();
  const after = axial.toImage(event);
  assert.equal(axial.camera.zoom, 2);
  assert.ok(Math.abs(after[0] - before[0]) < 1e-9 && Math.abs(after[1] - before[1]) < 1e-9);
});

test("zoom stays between the whole picture and the largest zoom, and the whole picture in the middle", () => {
  const axial = pane(AXIAL);
  axial.zoomAt({ clientX: 35, clientY: 30 }, 1000);
  assert.equal(axial.camera.zoom, MAX_ZOOM);
  axial.place();
  axial.zoomAt({ clientX: 90, clientY: 60 }, 1e-6);
  assert.deepEqual({ ...axial.camera }, { zoom: 1, x: 0.5, y: 0.5 });
});

test("panning moves by what the pointer moved, and no further than the rim", () => {
  const axial = pane(AXIAL);
  axial.camera.zoom = 2;
  axial.place(); // 50 canvas pixels for each pixel of 5: 250 wide
  axial.pan([25, 0]); // CSS pixels: 50 on the canvas
  assert.equal(axial.camera.x, 0.3);
  axial.pan([1000, -1000]);
  assert.deepEqual([axial.camera.x, axial.camera.y], [0, 1]);
});

test("letters stand where the patient's sides are", () => {
  const data = { edges: ["R", "L", "A", "P"], slice_ends: ["I", "S"] };
  assert.deepEqual(plain(pane(AXIAL).letters(data)), ["R", "L", "A", "P"]);
  assert.deepEqual(plain(pane(CORONAL).letters(data)), ["R", "L", "S", "I"]);
  assert.deepEqual(plain(pane(SAGITTAL).letters(data)), ["A", "P", "S", "I"]);
});

test("the edge of a mask touches another class, or the rim", () => {
  // 5 × 5: a block of 3 × 3 in the middle
  const mask = Array.from({ length: 25 }, (_, i) => (i % 5 > 0 && i % 5 < 4 && i > 4 && i < 20 ? 1 : 0));
  const edge = mask.map((inside, i) => (inside && isEdge(mask, i, 5, 5) ? 1 : 0));
  assert.equal(edge.reduce((sum, value) => sum + value, 0), 8);
  assert.equal(edge[12], 0);
  const full = new Array(9).fill(1);
  assert.deepEqual(full.map((_, i) => isEdge(full, i, 3, 3)), [true, true, true, true, false, true, true, true, true]);
});

test("distances, areas and volumes in millimetres where the header gives them", () => {
  const spacing = [5, 0.5, 2]; // slice, row, column
  assert.equal(distanceText([[0, 0], [3, 4]]), "5.0 px");
  assert.equal(distanceText([[0, 0], [3, 4]], spacing), "6.3 mm"); // 6 across, 2 down
  assert.equal(areaText({ data: {} }, 1234), "1,234 px");
  assert.equal(areaText({ data: { spacing } }, 1234), "1,234 mm²");
  assert.equal(volumeText({ data: {} }, 1234), "1,234 voxels");
  assert.equal(volumeText({ data: { spacing } }, 1234), "6.17 mL");
});
