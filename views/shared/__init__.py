"""What several pages share: page start, cached loaders, charts, legend."""
