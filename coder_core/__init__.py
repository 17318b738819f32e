"""The core: specs, texts, encoders, images, CODER, evaluation and storage. It never imports a workflow engine."""
