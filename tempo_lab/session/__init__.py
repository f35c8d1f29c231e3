"""Open a video with a model and ask: the engine, its cache, what is recorded and changed."""
