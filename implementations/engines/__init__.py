"""The engines: one folder each, whose adapters hand a case to the engine's own operators."""
