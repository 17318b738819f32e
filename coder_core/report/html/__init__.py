"""The report of a run as one HTML file: nothing in it asks a network, and every name in it is data.

`make_report` is the door. What is read stands in `run_facts`, what is said in `head`, what is drawn in `*_charts`
(Vega-Lite, written with Altair), the rest in a module per section; `page` puts it together.
"""
