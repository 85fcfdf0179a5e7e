// Probabilities as the bits of halves, thresholds, and what is counted at each of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.mjs";

const { halfBits, HALF_VALUES, STEPS, STEPS_REACHED, Study, diceOf } = load(
  "halfBits", "HALF_VALUES", "STEPS", "STEPS_REACHED", "Study", "diceOf",
);

test("halfBits rounds like NumPy", () => {
  // np.float16(x).view(np.uint16)
  const expected = [[1, 0x3c00], [0.5, 0x3800], [0.43, 0x36e1], [0.1, 0x2e66], [0.01, 0x211f], [0.99, 0x3bec], [2 ** -14, 0x0400]];
  for (const [value, bits] of expected) assert.equal(halfBits(value), bits, String(value));
});

test("halfBits takes ties to the even number", () => {
  const ulp = 2 ** -11; // of numbers from 0.5 to 1
  assert.equal(halfBits(0.5 + ulp / 2), 0x3800);
  assert.equal(halfBits(0.5 + (3 * ulp) / 2), 0x3802);
});

test("halfBits carries into the next power of two", () => {
  assert.equal(halfBits(1 - 2 ** -13), 0x3c00);
});

test("HALF_VALUES gives back each half, small ones too", () => {
  assert.equal(HALF_VALUES.length, 0x3c01);
  assert.equal(HALF_VALUES[0], 0);
  assert.equal(HALF_VALUES[1], 2 ** -24); // the smallest half
  assert.equal(HALF_VALUES[0x03ff], 1023 * 2 ** -24);
  assert.equal(HALF_VALUES[0x0400], 2 ** -14);
  assert.equal(HALF_VALUES[0x3800], 0.5);
  assert.equal(HALF_VALUES[0x3c00], 1);
});

test("STEPS_REACHED counts the thresholds that a probability reaches", () => {
  assert.equal(STEPS_REACHED[0], 0);
  assert.equal(STEPS_REACHED[halfBits(0.01) - 1], 0);
  for (let step = 1; step < STEPS; step++) {
    assert.equal(STEPS_REACHED[halfBits(step / STEPS)], step);
    assert.equal(STEPS_REACHED[halfBits(step / STEPS) - 1], step - 1);
  }
  assert.equal(STEPS_REACHED[0x3c00], 99);
});

/** Two slices of 2 × 2; the expert outlined the first only. */
function smallStudy({ rule = { min_share: 0, min_voxels: 0 }, expected = [0b1100_0000] } = {}) {
  const study = new Study("v");
  const header = { first: 0, end: 2, shape: [2, 2, 2], unit: [], has_mask: [true, false], brain: [4, 4] };
  study.addVolume(header, { images: new Uint8Array(24), expected: Uint8Array.from(expected) });
  const prediction = { kind: "prediction", model: "m", first: 0, end: 2, shape: [2, 2, 2], sides: [1, 1, 1, 1], rule };
  const probability = Uint16Array.from([0.9, 0.5, 0.3, 0.02, 0.6, 0.02, 0.02, 0.02].map(halfBits));
  const attention = Object.fromEntries([1, 2, 3, 4].map((level) => [`attention_${level}`, new Uint8Array(2)]));
  study.addPrediction(prediction, { probability, ...attention });
  return study;
}

test("a threshold counts the pixel that lies on it", () => {
  const study = smallStudy();
  assert.deepEqual(plain(study.predicted("m", 0, 0.5)), [1, 1, 0, 0]);
  assert.deepEqual(plain(study.predicted("m", 0, 0.51)), [1, 0, 0, 0]);
  assert.deepEqual({ ...study.counts("m", 0, 0.5) }, { predicted: 2, expected: 2, both: 2 });
  assert.deepEqual({ ...study.counts("m", 0, 0.51) }, { predicted: 1, expected: 2, both: 1 });
  assert.deepEqual({ ...study.counts("m", 0, 0.3) }, { predicted: 3, expected: 2, both: 2 });
});

test("counts and mask agree at every threshold", () => {
  const study = smallStudy();
  for (let step = 1; step < STEPS; step++) {
    for (const z of [0, 1]) {
      const mask = plain(study.predicted("m", z, step / STEPS));
      assert.equal(study.counts("m", z, step / STEPS).predicted, mask.reduce((sum, value) => sum + value, 0));
    }
  }
});

test("totals score only slices with an expected mask and count the area of all", () => {
  assert.deepEqual({ ...smallStudy().totals("m", 0.5) }, { predicted: 2, expected: 2, both: 2, everywhere: 3, scored: true });
});

test("nothing is counted before it has arrived", () => {
  const study = new Study("v");
  assert.equal(study.counts("m", 0, 0.5), undefined);
  assert.equal(study.totals("m", 0.5), undefined);
  assert.equal(study.arrived("m"), 0);
  assert.equal(study.has({ kind: "volume", first: 0 }), false);
});

test("a volume has its shape when all of its parts are there", () => {
  const study = new Study("v");
  const header = { shape: [2, 1, 2], unit: [], has_mask: [true, true], brain: [2, 2] };
  study.addVolume({ ...header, first: 1, end: 2 }, { images: Uint8Array.from([4, 5, 6, 7, 8, 9]), expected: Uint8Array.from([0b0100_0000]) });
  assert.equal(study.shape, null);
  assert.equal(study.has({ kind: "volume", first: 1 }), true);
  study.addVolume({ ...header, first: 0, end: 1 }, { images: Uint8Array.from([1, 1, 1, 2, 2, 2]), expected: Uint8Array.from([0b1000_0000]) });
  assert.deepEqual(plain(study.shape), [2, 1, 2]);
  assert.deepEqual(plain(study.images), [1, 1, 1, 2, 2, 2, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(plain(study.expected), [1, 0, 0, 1]);
  assert.deepEqual(plain(study.expectedArea), [1, 1]);
});

test("a smaller lesion than the rule of the weights allows is dropped", () => {
  const study = smallStudy({ rule: { min_share: 0, min_voxels: 2 } });
  assert.deepEqual(plain(study.predicted("m", 0, 0.9)), [0, 0, 0, 0]); // one voxel alone
  assert.deepEqual(plain(study.predicted("m", 0, 0.5)), [1, 1, 0, 0]);
  assert.deepEqual({ ...study.counts("m", 1, 0.5) }, { predicted: 1, expected: 0, both: 0 }); // joined across slices
});

test("diceOf", () => {
  assert.equal(diceOf([1, 1, 0], [1, 0, 0]), 2 / 3);
  assert.equal(diceOf([1, 0], [0, 1]), 0);
  assert.equal(diceOf([0, 0], [0, 0]), undefined);
});
