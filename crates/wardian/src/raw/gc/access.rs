//! What the embedder does with objects.
