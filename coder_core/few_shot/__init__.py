"""Few-shot classification without training: caches, means and discriminants under the metric that texts induce."""
