"""The batch as evidence: what unlabelled images say about where classes lie and which of them are there.

`fit_batch` is the method; `baselines` are what it stands beside: Saerens's class prior, Sinkhorn with a stated prior
(OTTER), TransCLIP and StatA. No function here takes a label of an image under test.
"""
