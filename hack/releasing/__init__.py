"""Makes a release: wheel, chart, CRDs, schema, bills of materials, site, notes and checksums."""
