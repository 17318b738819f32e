"""The batch as evidence: what unlabelled images say about where classes lie and which of them are there.

`fit_batch` is the method; what it stands beside: `stated_prior` (Saerens's class prior; Sinkhorn with a stated one,
OTTER) and `neighbour_mixtures` (TransCLIP, StatA). No function here takes a label of an image under test.
"""
