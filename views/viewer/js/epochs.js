// Networks in training have one prediction for each epoch; the visitor chooses the epoch.

/** The epochs that can be chosen, ascending; none where the networks have finished training. @param {Network[]} networks */
function epochsOf(networks) {
  const all = networks.flatMap((network) => network.epochs ?? []);
  return [...new Set(all.map(({ epoch }) => epoch))].sort((a, b) => a - b);
}

/** A network after the chosen epoch, or after the last one before it that there is. */
function networkAt(network, chosen) {
  if (!network?.epochs) return network;
  const found = network.epochs.findLast(({ epoch }) => epoch <= chosen) ?? network.epochs[0];
  return { ...found, cells: network.cells[found.size] };
}
