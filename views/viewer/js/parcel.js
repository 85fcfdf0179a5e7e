// A parcel has no looks: it hands its bytes to the study they belong to.

export default function ({ data, parentElement }) {
  const host = parentElement.host ?? parentElement;
  if (host.received === data) return;
  host.received = data;
  receive(data);
}
