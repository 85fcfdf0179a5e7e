// What the viewer's functions exchange; read by `make javascript`, never by a browser.

/** Slices, rows and columns of a volume, or a voxel in that order. */
type Triple = [number, number, number];
/** x and y: pixels of the picture, of the canvas or of the screen. */
type Point = [number, number];
type Plane = "axial" | "coronal" | "sagittal";
/** 0 to 255. */
type Rgb = [number, number, number];
/** Raw values shown as black and as white. */
type Window_ = [number, number];
type Channel = 0 | 1 | 2 | "RGB";
type Pixels = Uint8Array | Uint16Array;

/** value = raw × scale + offset */
interface Unit {
  scale: number;
  offset: number;
}

/** Which connected lesions of a mask stay; see `unet/postprocessing.py`. */
interface Rule {
  min_share: number;
  min_voxels: number;
}

/** How to go through a volume so that a plane comes out row by row. */
interface Walk {
  rows: number;
  columns: number;
  start: number;
  down: number;
  right: number;
}

/** For each attention level the cell of the map that a row and a column of the slice lie in. */
interface Cells {
  rows: number[];
  columns: number[];
}

interface Network {
  id: string;
  name: string;
  engine: string;
  cells: Cells[];
  epochs?: { epoch: number; id: string; name: string; engine: string; size: number }[];
}

/** What is drawn of a plane. */
interface Look {
  channel: Channel;
  windows: Record<Channel, Window_>;
  overlay: string;
  outline: boolean;
  opacity: number;
  threshold: number;
  model: Network;
}

interface Palette {
  predicted: Rgb;
  expected: Rgb;
  found: Rgb;
  falsePositive: Rgb;
  missed: Rgb;
  yours: Rgb;
  /** red, green, blue of 256 steps */
  scale: number[];
}

/** What one network says of a volume. */
interface Model {
  probability: Uint16Array;
  attention: { side: number; values: Uint8Array }[];
  arrived: boolean[];
  indexed: boolean[];
  rule: Rule;
  predicted: Uint32Array;
  correct: Uint32Array;
  filter?: LesionFilter;
  counted?: { threshold: number; slices: Counts[] };
}

/** Pixels of a slice: predicted, expected and both. */
interface Counts {
  predicted: number;
  expected: number;
  both: number;
}

interface Header {
  kind: "volume" | "prediction";
  volume: string;
  shape: Triple;
  first: number;
  end: number;
  arrays: { name: string; type: "uint8" | "uint16"; offset: number; length: number }[];
  /** of a volume */
  unit?: Unit[];
  has_mask?: boolean[];
  brain?: number[];
  /** of a prediction */
  model?: string;
  sides?: number[];
  rule?: Rule;
}

/** Points in pixels of the picture. */
interface Stroke {
  slice: number;
  kind: "lasso" | "brush" | "erase";
  radius: number;
  points: Point[];
}

/** Zoom, and the point of the picture in the middle, from 0 to 1; panes that are linked share one. */
interface Camera {
  zoom: number;
  x: number;
  y: number;
}

/** What a pane draws over its picture. */
interface Marks {
  drawn?: Uint8Array;
  measure?: [Point, Point];
  spacing?: Triple;
  colour: Rgb;
}

/** What Python says of a volume: `VOLUME_DESCRIPTION` of `views/viewer/slice_viewer.py`. */
interface Description {
  /** the viewer's texts by their English; empty in English */
  words: Record<string, string>;
  volume: string;
  patient: string;
  shape: Triple;
  slice_numbers: number[];
  spacing: Triple | null;
  assumed_spacing: Triple;
  edges: [string, string, string, string] | null;
  slice_order: string;
  slice_ends: [string, string] | null;
  planes: [string, string, string];
  has_expected: boolean;
  windows: Record<Channel, Window_>;
  meanings: Record<string, string>;
  palette: Palette;
  threshold: number;
  model: Network;
  other: Network | null;
  start: Record<string, string> | null;
  names: string[] | null;
  /** what Python was told last, where that is heard at all */
  heard?: { volume?: string; slice?: number };
  /** whether the page scrolls to the viewer when it appears */
  comes_into_view?: boolean;
}

/** What the visitor has chosen. */
interface State {
  channel: string;
  overlay: string;
  style: string;
  opacity: number;
  layout: string;
  pair: string;
  tool: string;
  radius: number;
  smooth: boolean;
  hidden: boolean;
  epoch: number;
  threshold?: number;
}

/** What a pane asks of the viewer that it is part of. */
interface PaneOwner {
  data: Description;
  study: Study;
  state: State;
  spacing: Triple;
  position: number[];
  plane: Plane;
  measured?: [Point, Point];
  redraw(): void;
  step(plane: Plane, by: number): void;
  moveTo(voxel: number[] | undefined): void;
  hover(voxel: Triple | undefined): void;
  windowBy(right: number, down: number): void;
  measure(points: [Point, Point]): void;
  drawOutline(what: "begin" | "extend" | "end", point?: Point): void;
  do(what: string): void;
}
