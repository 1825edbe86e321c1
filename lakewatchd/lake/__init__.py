"""The Lance tables: bronze as seen, silver derived, gold served, lineage. One writer, many readers."""
