// What stands around the picture: lesion area by slice, numbers, legend, and the maps of the network.

const DASH = "–";
const VOLUME_DICE = [mark("Volume Dice"), mark("Overlap over all slices of the patient: the number to compare.")];
const ALL_DICE = [mark("Dice, all slices"), mark("Overlap over all of these slices together.")]; // of several patients
const score = (value) => (Number.isFinite(value) ? value.toFixed(3) : DASH);
const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : t("unknown share"));
const rgb = (colour) => `rgb(${colour})`;

/** The strip is also the scroll bar. */
function listenToStrip(viewer) {
  const strip = viewer.find(".strip");
  const jump = (event) => {
    const box = strip.getBoundingClientRect();
    const slices = viewer.data.shape[0];
    viewer.moveTo([clamp(Math.floor(((event.clientX - box.left) / box.width) * slices), 0, slices - 1)]);
  };
  strip.onpointerdown = (event) => {
    strip.setPointerCapture(event.pointerId);
    jump(event);
  };
  strip.onpointermove = (event) => event.buttons && jump(event);
  strip.onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) viewer.step(AXIAL, by);
  };
}

/** Draw lesion area for each slice, predicted as bars and expected as a line; it is also the scroll bar. */
function drawStrip(viewer) {
  const { study, state, data, model, position } = viewer;
  const canvas = viewer.find(".strip");
  const ratio = globalThis.devicePixelRatio || 1;
  const width = (canvas.width = Math.round(canvas.clientWidth * ratio));
  const height = (canvas.height = Math.round(canvas.clientHeight * ratio));
  const context = canvas.getContext("2d");
  const slices = data.shape[0];
  const counts = Array.from({ length: slices }, (_, z) => study.counts(model.id, z, state.threshold));
  const largest = Math.max(...counts.map((c) => c?.predicted ?? 0), ...(study.expectedArea ?? []), 0);
  const top = 1.08 * Math.max(1, largest);
  const room = height - 16 * ratio; // below the words
  const step = width / slices;
  const style = getComputedStyle(viewer.root);
  context.fillStyle = style.getPropertyValue("--st-secondary-background-color");
  context.fillRect(0, 0, width, height);
  context.fillStyle = "rgba(128, 128, 128, 0.4)";
  context.fillRect(position[0] * step, 0, step, height);
  context.fillStyle = rgb(data.palette.predicted);
  counts.forEach((c, z) => {
    const bar = ((c?.predicted ?? 0) / top) * room;
    context.fillRect(z * step + step * 0.08, height - bar, step * 0.84, bar);
    if (!c) context.fillRect(z * step + step * 0.4, height - 2 * ratio, step * 0.2, 2 * ratio); // still to come
  });
  if (study.hasMask?.some(Boolean)) {
    context.strokeStyle = rgb(data.palette.expected);
    context.lineWidth = 2 * ratio;
    context.beginPath();
    let pen = false;
    study.expectedArea.forEach((area, z) => {
      const y = height - (area / top) * room;
      if (study.hasMask[z]) {
        if (pen) context.lineTo(z * step, y);
        else context.moveTo(z * step, y);
        context.lineTo((z + 1) * step, y);
      }
      pen = study.hasMask[z];
    });
    context.stroke();
  }
  context.font = `${11 * ratio}px sans-serif`;
  const words = [
    [t("{area} lesion", { area: areaText(viewer, largest) }), style.color],
    ["  ▮ ", rgb(data.palette.predicted)],
    [t("predicted"), style.color],
  ];
  if (data.has_expected) words.push(["  ━ ", rgb(data.palette.expected)], [t("expected"), style.color]);
  let x = 4 * ratio;
  for (const [word, colour] of words) {
    context.fillStyle = colour;
    context.fillText(word, x, 12 * ratio);
    x += context.measureText(word).width;
  }
  canvas.ariaValueNow = position[0] + 1;
  canvas.ariaValueMin = 1;
  canvas.ariaValueMax = slices;
  canvas.ariaValueText = placeText(viewer);
}

/** "512 px", or "1,295 mm²" where the header gives millimetres. */
function areaText({ data }, pixels) {
  if (!data.spacing) return `${pixels.toLocaleString("en")} px`;
  return `${Math.round(pixels * data.spacing[1] * data.spacing[2]).toLocaleString("en")} mm²`;
}

function volumeText({ data }, voxels) {
  if (!data.spacing) return t("{count} voxels", { count: voxels.toLocaleString("en") });
  const [slice, row, column] = data.spacing;
  return `${((voxels * slice * row * column) / 1000).toFixed(2)} mL`;
}

/** Scores where the volume has expected masks, sizes always; what cannot be measured is a dash. */
function showNumbers(viewer) {
  const { study, state, data, model, position } = viewer;
  const [z] = position;
  const counts = study.counts(model.id, z, state.threshold);
  const scored = counts && study.hasMask[z];
  const totals = study.totals(model.id, state.threshold);
  const area = [
    t("Predicted area"),
    counts ? areaText(viewer, counts.predicted) : DASH,
    data.spacing ? t("On this slice, with the pixel size of the header.") : t("On this slice. The header gives no millimetres."),
  ];
  const rows = data.has_expected ? [...scoreRows(viewer, counts, scored, totals), area] : [area];
  const brain = study.brain && !data.names ? study.brain.reduce((sum, pixels) => sum + pixels, 0) : 0;
  if (!data.has_expected && totals && brain) {
    rows.push([t("Predicted volume"), volumeText(viewer, totals.everywhere), t("On all slices together.")]);
    rows.push([t("Share of the brain"), share(totals.everywhere, brain), t("On all slices together. The brain is estimated from FLAIR.")]);
  }
  const drawn = viewer.drawnMask();
  if (drawn) {
    const offset = z * drawn.length;
    const theirs = counts && study.predicted(model.id, z, state.threshold);
    const truth = study.hasMask[z] ? diceOf(drawn, study.expected.subarray(offset, offset + drawn.length)) : undefined;
    const own = areaText(viewer, drawn.reduce((sum, value) => sum + value, 0));
    if (data.has_expected) rows.push([t("Your Dice, expected"), score(truth), t("Your outline against the expected mask, on this slice.")]);
    rows.push([t("Your Dice, network"), score(theirs && diceOf(drawn, theirs)), t("Your outline against the predicted mask, on this slice.")]);
    rows.push([t("Your area"), own, t("The area inside your outline, on this slice.")]);
  }
  const list = viewer.find(".numbers");
  list.innerHTML = rows.map(([name, value, meaning]) => `<div title="${meaning}"><dt>${name}</dt><dd>${value}</dd></div>`).join("");
  const note = [];
  if (counts && study.brain) note.push(t("{share} of the brain on this slice", { share: share(counts.predicted, study.brain[z]) }));
  if (data.has_expected && totals && brain) {
    note.push(t("{share} of the whole brain (estimated from FLAIR)", { share: share(totals.everywhere, brain) }));
    note.push(volumeText(viewer, totals.everywhere));
  }
  const sentences = note.length ? [`${note.join(", ")}.`] : [];
  if (data.has_expected && counts && !scored) sentences.push(t("This slice has no expected mask, so it cannot be scored."));
  viewer.find(".note").textContent = sentences.join(" ");
}

/** What the prediction scores on this slice, and on all of them. */
function scoreRows({ data }, counts, scored, totals) {
  const { predicted, expected, both } = counts ?? {};
  const [all, meaning] = data.names ? ALL_DICE : VOLUME_DICE;
  return [
    [t("Slice Dice"), scored ? score((2 * both) / (predicted + expected)) : DASH, t("Overlap with the expected mask on this slice, 0 to 1.")],
    [t("Slice IoU"), scored ? score(both / (predicted + expected - both)) : DASH, t("Intersection over union on this slice.")],
    [t(all), totals?.scored ? score((2 * totals.both) / (totals.predicted + totals.expected)) : DASH, t(meaning)],
    [t("Precision"), scored ? score(both / predicted) : DASH, t("Share of the predicted pixels that are expected, on this slice.")],
    [t("Recall"), scored ? score(both / expected) : DASH, t("Share of the expected pixels that are predicted, on this slice.")],
  ];
}

/** Say what the colours of the overlay mean, by colour and by word. */
function showLegend(viewer) {
  const { palette } = viewer.data;
  const swatches = {
    Predicted: [[t("predicted by the network"), palette.predicted]],
    Expected: [[t("expected, drawn by an expert"), palette.expected]],
    Errors: [[t("found"), palette.found], [t("false positive"), palette.falsePositive], [t("missed"), palette.missed]],
    None: [],
  };
  const swatch = ([words, colour]) => `<span><i style="background:${rgb(colour)}"></i>${words}</span>`;
  const scale = `<span>0<i class="scale" style="background:${scaleGradient(palette.scale)}"></i>1</span>`;
  const parts = [...overlaysShown(viewer)].map((overlay) =>
    swatches[overlay] ? swatches[overlay].map(swatch).join("") : scale,
  );
  if (viewer.drawnMask()) parts.push(swatch([t("your outline"), palette.yours]));
  viewer.find(".legend").innerHTML = parts.join("");
}

function scaleGradient(scale) {
  const stops = [0, 32, 64, 96, 128, 160, 192, 224, 255].map((i) => rgb(scale.slice(3 * i, 3 * i + 3)));
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

/** The four attention maps and the probability beside them; a click lays one over the large picture. */
class Maps {
  constructor(viewer) {
    this.viewer = viewer;
    this.painter = new Painter(viewer.data.palette);
    const { data } = viewer;
    const maps = [...ATTENTIONS, "Probability"];
    viewer.find(".maps").innerHTML =
      `<h3>${t("Attention gates and probability")}</h3>` +
      maps
        .map((name) => `<button type="button" title="${t("Show it over the picture")}"><canvas role="img" aria-label="${overlayName(name)}"></canvas><span><strong>${overlayName(name)}</strong> <span class="side-length"></span></span><small>${t(data.meanings[name])}</small></button>`)
        .join("");
    this.buttons = [...viewer.root.querySelectorAll(".maps button")];
    this.buttons.forEach((button, i) => (button.onclick = () => viewer.set("overlay", maps[i])));
    this.maps = maps;
  }

  draw() {
    const { viewer } = this;
    const { study, position } = viewer;
    const model = study.models.get(viewer.model.id);
    this.maps.forEach((overlay, i) => {
      const image = this.painter.paint(study, AXIAL, position[0], { ...lookOf(viewer), overlay, opacity: 0.65 });
      const canvas = this.buttons[i].querySelector("canvas");
      const [, rows, columns] = study.shape;
      onCanvas(image, canvas);
      canvas.style.aspectRatio = (columns * viewer.spacing[2]) / (rows * viewer.spacing[1]);
      const side = model?.attention[Number(overlay.at(-1)) - 1]?.side;
      this.buttons[i].querySelector(".side-length").textContent = `· ${side ? `${side} × ${side}` : `${columns} × ${rows}`}`;
    });
  }
}
