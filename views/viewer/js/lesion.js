// Where the largest lesion is: the view opens there.

/**
 * The voxel (z, y, x) in the middle of the largest predicted lesion area, else of the largest expected one.
 * @param {Viewer} viewer
 */
function largestLesion({ study, data, model, state }) {
  const predicted = Array.from({ length: data.shape[0] }, (_, z) => study.counts(model.id, z, state.threshold).predicted);
  const areas = predicted.some(Boolean) ? predicted : study.expectedArea;
  const largest = areas.indexOf(Math.max(...areas));
  if (!areas[largest]) return undefined;
  return [largest, ...middle(study, data.shape, study.predicted(model.id, largest, state.threshold), largest)];
}

/** The middle (y, x) of the lesion on a slice, so that the other planes cut through it. */
function middle(study, [, rows, columns], predicted, z) {
  let count = 0, sumY = 0, sumX = 0;
  for (let i = 0, v = z * rows * columns; i < rows * columns; i++, v++) {
    if (!predicted[i] && !study.expected[v]) continue;
    count += 1;
    sumY += Math.floor(i / columns);
    sumX += i % columns;
  }
  return [Math.round(sumY / count), Math.round(sumX / count)];
}
