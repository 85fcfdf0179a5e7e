// Window and level of a channel: which raw values are shown as black and as white. For the eye only.

/**
 * The window after a drag: sideways changes its width, up and down its middle.
 * @param {Window_} window
 * @param {Window_} opened the window that the channel opens with
 * @param {number} right screen pixels
 * @param {number} down screen pixels
 * @returns {Window_}
 */
function draggedWindow([low, high], opened, right, down) {
  const span = opened[1] - opened[0];
  const width = Math.max(span / 100, high - low + (right * span) / 300);
  const middle = (low + high) / 2 + (down * span) / 300;
  return [middle - width / 2, middle + width / 2];
}

/**
 * @param {Window_} opened
 * @param {keyof typeof PRESETS} name
 * @returns {Window_}
 */
function presetWindow(opened, name) {
  const [factor, shift] = PRESETS[name];
  const span = opened[1] - opened[0];
  const middle = (opened[0] + opened[1]) / 2 + shift * span;
  return [middle - (span * factor) / 2, middle + (span * factor) / 2];
}
