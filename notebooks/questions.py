"""Three questions about the runs of a store, as a marimo notebook.

CODER_STORE=./store marimo edit notebooks/questions.py     # in a browser
CODER_STORE=./store python notebooks/questions.py          # as a script
"""

import marimo

app = marimo.App(width="medium", app_title="Questions about runs")


@app.cell
def _():
    import marimo as mo
    import pandas

    from coder_core import open_warehouse

    warehouse = open_warehouse()

    def ask(sql: str) -> pandas.DataFrame:
        result = warehouse.query(sql)
        return pandas.DataFrame(result.rows, columns=result.columns)

    return ask, mo


@app.cell
def _(mo):
    mo.md("# 1. Which methods beat the baseline, beyond chance?")


@app.cell
def _(ask, mo):
    gains = ask("""
        SELECT name, method, baseline, value, difference, ci_low, ci_high, p_holm, verdict
        FROM method_gains WHERE is_latest AND metric = 'top1' ORDER BY name, value DESC, method, baseline
    """)
    mo.ui.table(gains, selection=None, label="top-1 accuracy of the latest run of each evaluation")
    return (gains,)


@app.cell
def _(mo):
    mo.md("# 2. Which classes are recognised worst, and what are they taken for?")


@app.cell
def _(ask, mo):
    worst = ask("""
        SELECT name, method, class_name, n, recall, taken_for, taken_for_counts
        FROM worst_classes WHERE is_latest AND rank <= 10 AND NOT starts_with(method, 'control_')
        ORDER BY name, method, rank
    """)
    mo.ui.table(worst, selection=None, label="ten classes of each method")
    return (worst,)


@app.cell
def _(mo):
    mo.md("# 3. Which images are wrong under every method? Where all agree and are sure, the label may be wrong.")


@app.cell
def _(ask, mo):
    suspects = ask("""
        SELECT name, image_id, label_name, taken_for[1] AS taken_for, agreement, highest_probability, location
        FROM images_wrong_everywhere WHERE is_latest
        ORDER BY agreement DESC, highest_probability DESC, name, image_id LIMIT 100
    """)
    mo.ui.table(suspects, selection=None, label="the first hundred")
    return (suspects,)


@app.cell
def _(gains, mo, suspects, worst):
    found = {"methods compared": len(gains), "classes listed": len(worst), "images to look at": len(suspects)}
    print(", ".join(f"{what}: {count}" for what, count in found.items()))
    mo.md("\n".join(f"* {what}: {count}" for what, count in found.items()))
    return (found,)


if __name__ == "__main__":
    app.run()
