"""Predictions (which know no labels), labels, metrics, intervals and tests.

Test labels are read by what measures (`metrics`, `calibration`, `breakdown`, `comparisons`, `paired_breakdown`,
`text_ablation`), and by nothing that predicts or chooses; `reference_protocol` alone reads them to predict, and marks
what it makes. Only `predicting` and `text_ablation` need torch.
"""
