"""Run a study, look at its front, choose a network: the same lines work in a notebook, a cell at a time."""

import joulefront

study = joulefront.run("study.toml", results="results")  # goes on where it was stopped; later: joulefront.open(folder)

front = study.front()  # a pandas frame in SI units, one row a network, intervals as columns
columns = ["trial", "accuracy", "latency_s", "latency_s_low", "latency_s_high", "latency_provenance"]
print(front[columns].to_string(index=False, float_format="{:.3g}".format))

everything = study.trials()
failed = everything["failure_kind"].notna().sum()
print(f"{len(everything)} trials, {failed} failed; hypervolume {study.hypervolume:.3f}")
unpruned = everything[everything["unpruned"] & (everything["fidelity"] == "full")].iloc[0]
knee = front[front["knee"]].iloc[0]
print(f"trial {knee['trial']} takes {knee['latency_s'] / unpruned['latency_s']:.0%} of the unpruned network's time")

study.plot().write_html("front.html")  # in a notebook, study.plot() alone shows it
study.figure("front.svg")  # for a paper
study.report("report.html")  # the whole page
