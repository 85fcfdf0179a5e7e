// Parcels as Python sends them, and what the viewer says where one cannot be read.

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { load, plain } from "./load.mjs";

/** The bytes of `pack` in views/viewer/parcels.py. */
function pack(header, ...arrays) {
  const words = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(words.length);
  return new Uint8Array(Buffer.concat([length, words, deflateSync(Buffer.concat(arrays))]));
}

const HEADER = {
  kind: "volume", volume: "v", shape: [1, 1, 2], first: 0, end: 1, unit: [], has_mask: [1], brain: [2],
  arrays: [{ name: "images", type: "uint8", offset: 0, length: 6 }, { name: "expected", type: "uint8", offset: 8, length: 1 }],
};
const VOLUME = pack(HEADER, Buffer.from([1, 2, 3, 4, 5, 6, 0, 0]), Buffer.from([0b0100_0000]));

/** A browser whose viewer looks at volume `v`; `said` is what stands beside the pictures at each redraw. */
function scene() {
  const { receive, studyOf, Viewer, progressText, globalThis: browser } = load("receive", "studyOf", "Viewer", "progressText", "globalThis");
  browser.console = { error() {} };
  const study = studyOf("v"), said = [];
  const model = { id: "m", engine: "a, b" };
  const viewer = Object.assign(Object.create(Viewer.prototype), { study, data: { shape: [1, 1, 2], model } });
  study.listeners.add(() => said.push(progressText(viewer)));
  return { receive, study, said, browser, progress: () => progressText(viewer) };
}

test("a parcel fills the volume it belongs to", async () => {
  const { receive, study, said } = scene();
  await receive(VOLUME);
  assert.deepEqual(plain(study.images), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(plain(study.expected), [0, 1]);
  assert.deepEqual(said, ["The network: 0 of 1 slices segmented"]);
});

const DAMAGED = "Some slices arrived damaged. Reload the page.";
const truncated = VOLUME.slice(0, -5);
const overwritten = VOLUME.with(VOLUME.length - 8, VOLUME.at(-8) ^ 255);
const tooFew = pack(HEADER, Buffer.from([1, 2, 3]));
const noHeader = VOLUME.with(4, 0);
for (const [name, bytes] of Object.entries({ truncated, overwritten, tooFew, noHeader, empty: new Uint8Array(), missing: null })) {
  test(`a parcel that is damaged (${name}) is named instead of waited for`, async () => {
    const { receive, study, said, progress } = scene();
    assert.equal(progress(), "Loading the slices …");
    await receive(bytes);
    assert.deepEqual(said, [DAMAGED]);
    assert.equal(study.shape, null);
    await receive(VOLUME); // sent again
    assert.deepEqual(plain(study.shape), [1, 1, 2]);
  });
}

test("a browser that cannot unpack is told what to do", async () => {
  const { receive, said, browser } = scene();
  delete browser.DecompressionStream;
  await receive(VOLUME);
  assert.deepEqual(said, ['This browser is too old for this viewer. Update it, or switch on Simple viewer below.']);
});

test("a prediction that is damaged is named, and its slices stay unknown", async () => {
  const { receive, study, said } = scene();
  await receive(VOLUME);
  const header = { kind: "prediction", volume: "v", model: "m", shape: [1, 1, 2], first: 0, end: 1, sides: [], arrays: [] };
  await receive(pack(header));
  assert.equal(said.at(-1), DAMAGED);
  assert.equal(study.arrived("m"), 0);
});
