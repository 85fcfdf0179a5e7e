// The weights' own rule for masks, where they have one: lesions that are too small are dropped.
// The same as `unet/postprocessing.py`: voxels that share a face, an edge or a corner belong together.

class LesionFilter {
  /**
   * @param {Uint16Array} probability the bits of halves
   * @param {Triple} shape
   * @param {Rule} rule
   */
  constructor(probability, [slices, rows, columns], rule) {
    this.probability = probability;
    this.slices = slices;
    this.rows = rows;
    this.columns = columns;
    this.rule = rule;
    const lowest = halfBits(1 / STEPS);
    let count = 0;
    for (const bits of probability) if (bits >= lowest) count += 1;
    this.candidates = new Uint32Array(count); // a few percent of the volume: nothing else can be lesion
    for (let v = 0, i = 0; v < probability.length; v++) if (probability[v] >= lowest) this.candidates[i++] = v;
    this.mask = new Uint8Array(probability.length);
  }

  /** @param {Rule} rule */
  static isNeeded(rule) {
    return rule.min_share > 0 || rule.min_voxels > 1;
  }

  /**
   * The mask at a threshold, in {0, 1}; the same array every time.
   * @param {number} threshold
   */
  at(threshold) {
    const limit = halfBits(threshold);
    if (limit === this.limit) return this.mask;
    this.limit = limit;
    const { mask, candidates, probability, rule } = this;
    for (const v of candidates) mask[v] = probability[v] >= limit ? 1 : 0;
    const lesions = this.lesions();
    const largest = lesions.reduce((most, voxels) => Math.max(most, voxels.length), 0);
    const least = Math.max(rule.min_voxels, rule.min_share * largest);
    mask.fill(0);
    for (const voxels of lesions) if (voxels.length >= least) for (const v of voxels) mask[v] = 1;
    return mask;
  }

  /** The connected lesions of the mask, each a list of voxels; leaves 2 where it has been. */
  lesions() {
    const { mask, candidates } = this;
    const found = [];
    for (const seed of candidates) {
      if (mask[seed] !== 1) continue;
      const voxels = [seed];
      mask[seed] = 2;
      for (let i = 0; i < voxels.length; i++) this.spread(voxels[i], voxels);
      found.push(voxels);
    }
    return found;
  }

  /**
   * Add the neighbours of a voxel that are lesion too.
   * @param {number} v
   * @param {number[]} voxels
   */
  spread(v, voxels) {
    const { mask, slices, rows, columns } = this;
    const x = v % columns, y = Math.floor(v / columns) % rows, z = Math.floor(v / (rows * columns));
    for (let dz = z ? -1 : 0; dz <= (z < slices - 1 ? 1 : 0); dz++) {
      for (let dy = y ? -1 : 0; dy <= (y < rows - 1 ? 1 : 0); dy++) {
        for (let dx = x ? -1 : 0; dx <= (x < columns - 1 ? 1 : 0); dx++) {
          const next = v + (dz * rows + dy) * columns + dx;
          if (mask[next] !== 1) continue;
          mask[next] = 2;
          voxels.push(next);
        }
      }
    }
  }
}
