// What Python sent: the pictures of a volume, and what each network says of them.
//
// Arrays travel in parcels of some slices: a length, a JSON header, and the arrays deflated. Those of a volume are large,
// and it is shown when all are there; those of a prediction small, so that it can be looked at while the network is
// still at work. This file is part of both components, the viewer and the parcel; they meet in `studies`.

const STEPS = 100; // thresholds 0.01, 0.02 … 0.99
const MAX_STUDIES = 3; // kept in the browser, up to 40 MB each
const DAMAGED = mark("Some slices arrived damaged. Reload the page.");
const CANNOT_UNPACK = mark("This browser is too old for this viewer. Update it, or switch on Simple viewer below."); // no DecompressionStream

/**
 * The bits of a number in [2⁻¹⁴, 1] as IEEE half precision, to nearest, ties to even: NumPy's `np.float16(x)`.
 * @param {number} x
 */
function halfBits(x) {
  const exponent = Math.floor(Math.log2(x));
  const fraction = (x / 2 ** exponent - 1) * 1024;
  const below = Math.floor(fraction);
  const odd = below % 2;
  const rounded = fraction - below > 0.5 || (fraction - below === 0.5 && odd) ? below + 1 : below;
  return (exponent + 15) * 1024 + rounded;
}

const ONE = 0x3c00; // the bits of 1.0: halves from 0 to 1 sort like their bits
const HALF_VALUES = Float32Array.from({ length: ONE + 1 }, (_, bits) => {
  const exponent = bits >> 10;
  return exponent ? 2 ** (exponent - 15) * (1 + (bits & 1023) / 1024) : (2 ** -14 * bits) / 1024;
});

/** How many of the thresholds a probability reaches, by its bits. */
const STEPS_REACHED = new Uint8Array(ONE + 1);
for (let step = 1; step < STEPS; step++) STEPS_REACHED.fill(step, halfBits(step / STEPS));

/** One volume: pictures, expected mask, and a prediction for each network. Slices count from 0. */
class Study {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
    /** @type {Triple | null} */
    this.shape = null;
    /** @type {Map<string, Model>} */
    this.models = new Map();
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** @type {boolean[] | undefined} */
    this.volumeArrived = undefined;
    /** @type {Pixels | undefined} three channels of each voxel */
    this.images = undefined;
    /** @type {Uint8Array | undefined} */
    this.expected = undefined;
    /** @type {string | undefined} why some of it will not come */
    this.problem = undefined;
  }

  /**
   * Some slices of the volume; `shape` is known from when it is whole.
   * @param {Header} header
   * @param {Record<string, Pixels>} arrays `images`, and `expected` with a bit for each pixel
   */
  addVolume(header, arrays) {
    const { first, end, shape } = header;
    const [slices, rows, columns] = shape;
    const size = rows * columns;
    this.volumeArrived ??= new Array(slices).fill(false);
    const Stored = arrays.images.BYTES_PER_ELEMENT === 1 ? Uint8Array : Uint16Array;
    this.images ??= new Stored(slices * size * 3);
    this.expected ??= new Uint8Array(slices * size);
    this.images.set(arrays.images, first * size * 3);
    for (let i = 0; i < (end - first) * size; i++) {
      this.expected[first * size + i] = (arrays.expected[i >> 3] >> (7 - (i & 7))) & 1;
    }
    this.volumeArrived.fill(true, first, end);
    if (!this.volumeArrived.every(Boolean)) return;
    this.shape = shape;
    this.unit = header.unit; // value = raw × scale + offset, for each channel
    this.hasMask = header.has_mask;
    this.brain = header.brain; // pixels of brain on each slice
    this.expectedArea = Array.from({ length: slices }, (_, z) => this.sum(this.expected, z));
    for (const model of this.models.values()) this.indexReady(model);
  }

  /**
   * Forget what other networks said.
   * @param {Set<string>} ids
   */
  keepModels(ids) {
    for (const id of this.models.keys()) if (!ids.has(id)) this.models.delete(id);
  }

  /** @param {Header} header */
  has({ kind, model, first }) {
    return kind === "volume" ? Boolean(this.volumeArrived?.[first]) : Boolean(this.models.get(model)?.arrived[first]);
  }

  /**
   * @param {Header} header
   * @param {Record<string, Pixels>} arrays
   */
  addPrediction(header, arrays) {
    const { model: id, first, end, shape } = header;
    const [slices, rows, columns] = shape;
    if (!this.models.has(id)) {
      this.models.set(id, {
        probability: new Uint16Array(slices * rows * columns),
        attention: header.sides.map((side) => ({ side, values: new Uint8Array(slices * side * side) })),
        arrived: new Array(slices).fill(false),
        indexed: new Array(slices).fill(false),
        rule: header.rule,
        predicted: new Uint32Array(slices * STEPS), // pixels at each threshold
        correct: new Uint32Array(slices * STEPS), // of them also expected
      });
    }
    const model = this.models.get(id);
    model.probability.set(arrays.probability, first * rows * columns);
    model.attention.forEach(({ side, values }, i) => values.set(arrays[`attention_${i + 1}`], first * side * side));
    model.arrived.fill(true, first, end);
    this.indexReady(model);
  }

  /**
   * Count, once for each slice, what every threshold would give: dragging the threshold then only adds up.
   * @param {Model} model
   */
  indexReady(model) {
    if (!this.shape) return;
    const [slices, rows, columns] = this.shape;
    for (let z = 0; z < slices; z++) {
      if (!model.arrived[z] || model.indexed[z]) continue;
      const predicted = model.predicted.subarray(z * STEPS, (z + 1) * STEPS);
      const correct = model.correct.subarray(z * STEPS, (z + 1) * STEPS);
      for (let i = z * rows * columns; i < (z + 1) * rows * columns; i++) {
        const step = STEPS_REACHED[model.probability[i]];
        predicted[step] += 1;
        correct[step] += this.expected[i];
      }
      for (let step = STEPS - 2; step >= 0; step--) {
        predicted[step] += predicted[step + 1];
        correct[step] += correct[step + 1];
      }
      model.indexed[z] = true;
    }
  }

  /**
   * Pixels of a mask on slice `z`, or of it and another one.
   * @param {Uint8Array} mask
   * @param {number} z
   */
  sum(mask, z, other = mask) {
    const size = this.shape[1] * this.shape[2];
    let total = 0;
    for (let i = z * size; i < (z + 1) * size; i++) total += mask[i] & other[i];
    return total;
  }

  /**
   * The mask after the weights' own rule, as soon as every slice is there; undefined where there is no such rule, or
   * only one slice, which cannot tell how large a lesion is.
   * @param {string} modelId
   * @param {number} threshold
   */
  filtered(modelId, threshold) {
    const model = this.models.get(modelId);
    if (!model || this.shape[0] === 1 || !LesionFilter.isNeeded(model.rule) || !model.indexed.every(Boolean)) return undefined;
    model.filter ??= new LesionFilter(model.probability, this.shape, model.rule);
    return model.filter.at(threshold);
  }

  /**
   * Pixels of the predicted mask, the expected mask and both, on slice `z`; undefined until they are known.
   * @param {string} modelId
   * @param {number} z
   * @param {number} threshold
   * @returns {Counts | undefined}
   */
  counts(modelId, z, threshold) {
    const model = this.models.get(modelId);
    if (!model?.indexed[z]) return undefined;
    const mask = this.filtered(modelId, threshold);
    if (mask) return this.countMask(model, mask, z, threshold);
    const at = z * STEPS + Math.round(threshold * STEPS);
    return { predicted: model.predicted[at], expected: this.expectedArea[z], both: model.correct[at] };
  }

  /**
   * The predicted mask of a slice in {0, 1}.
   * @param {string} modelId
   * @param {number} z
   * @param {number} threshold
   */
  predicted(modelId, z, threshold) {
    const size = this.shape[1] * this.shape[2];
    const mask = this.filtered(modelId, threshold);
    if (mask) return mask.subarray(z * size, (z + 1) * size);
    const limit = halfBits(threshold);
    const { probability } = this.models.get(modelId);
    return Uint8Array.from(probability.subarray(z * size, (z + 1) * size), (bits) => (bits >= limit ? 1 : 0));
  }

  /**
   * @param {Model} model
   * @param {Uint8Array} mask
   * @param {number} z
   * @param {number} threshold
   */
  countMask(model, mask, z, threshold) {
    if (model.counted?.threshold !== threshold) model.counted = { threshold, slices: [] };
    return (model.counted.slices[z] ??= {
      predicted: this.sum(mask, z),
      expected: this.expectedArea[z],
      both: this.sum(mask, z, this.expected),
    });
  }

  /**
   * The same over all slices that were outlined by an expert; undefined until every slice is known.
   * @param {string} modelId
   * @param {number} threshold
   */
  totals(modelId, threshold) {
    const total = { predicted: 0, expected: 0, both: 0, everywhere: 0, scored: this.hasMask?.some(Boolean) };
    for (let z = 0; z < (this.shape?.[0] ?? 1); z++) {
      const counts = this.counts(modelId, z, threshold);
      if (!counts) return undefined;
      total.everywhere += counts.predicted;
      if (this.hasMask[z]) for (const name of ["predicted", "expected", "both"]) total[name] += counts[name];
    }
    return total;
  }

  /** @param {string} modelId */
  arrived(modelId) {
    return this.models.get(modelId)?.arrived.filter(Boolean).length ?? 0;
  }
}

/** @type {Map<string, Study>} */
const studies = (globalThis.brainMriStudies ??= new Map());

/**
 * The study of that id; the least recently used ones are forgotten.
 * @param {string} id
 */
function studyOf(id) {
  const study = studies.get(id) ?? new Study(id);
  studies.delete(id);
  studies.set(id, study);
  for (const old of [...studies.keys()].slice(0, -MAX_STUDIES)) if (!studies.get(old).listeners.size) studies.delete(old);
  return study;
}

const ARRAY_TYPES = { uint8: Uint8Array, uint16: Uint16Array };

/**
 * Inflate a parcel's arrays, by name.
 * @param {Header} header
 * @param {BufferSource} deflated
 */
async function unpack(header, deflated) {
  const inflated = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  const payload = await new Response(inflated).arrayBuffer();
  /** @type {Record<string, Pixels>} */
  const arrays = {};
  for (const { name, type, offset, length } of header.arrays) arrays[name] = new ARRAY_TYPES[type](payload, offset, length);
  return arrays;
}

/**
 * The header of a parcel, and where its arrays begin.
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {{ header: Header, start: number }}
 */
function readHeader(bytes) {
  const start = 4 + new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  return { header: JSON.parse(new TextDecoder().decode(bytes.subarray(4, start))), start };
}

/**
 * Put a parcel where it belongs and tell every viewer of that volume, also that a parcel cannot be read.
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
async function receive(bytes) {
  let study;
  try {
    const { header, start } = readHeader(bytes);
    study = studyOf(header.volume);
    if (study.has(header)) return; // a rerun sends again what the browser already knows
    const arrays = await unpack(header, bytes.subarray(start));
    if (header.kind === "volume") study.addVolume(header, arrays);
    else study.addPrediction(header, arrays);
  } catch (error) {
    console.error(error);
    const problem = typeof DecompressionStream === "undefined" ? CANNOT_UNPACK : DAMAGED;
    // without a header the volume is unknown, and may be any of those on the page
    for (const one of study ? [study] : studies.values()) one.problem = problem;
  }
  for (const one of study ? [study] : studies.values()) for (const listener of one.listeners) listener();
}
