"""A ReFrame test of the workloads: it has passed if the run has a score, and it reports the scores.

Call it where ``hepbench`` is on the PATH, or name the program and its options:

    reframe -c containers/reframe/hepbench_checks.py -r
    reframe -c containers/reframe/hepbench_checks.py -r -S preset=hepscore -S options=--gpus=1

References belong to a system, so a site adds its own in a subclass in another file.
"""

import json
from pathlib import Path

import reframe as rfm
import reframe.utility.sanity as sn
import reframe.utility.typecheck as typ
from reframe.core.builtins import parameter, run_before, sanity_function, variable


@rfm.simple_test
class HepbenchCheck(rfm.RunOnlyRegressionTest):
    """One run of a workload.

    Attributes:
        workload: Its name.
        preset: The named configuration that runs.
        program: The program ``hepbench``.
        options: Further options of ``hepbench run``.
    """

    descr = "training, inference, kernels and services of high-energy physics"
    valid_systems = ["*"]  # noqa: RUF012 (ReFrame's own way)
    valid_prog_environs = ["*"]  # noqa: RUF012
    time_limit = "4h"
    workload = parameter(["mlpf", "gnn_tracking", "mellin_dis", "emtrkmichelid"])
    preset = variable(str, value="hepscore-small")
    program = variable(str, value="hepbench")
    options = variable(typ.List[str], value=[])

    @run_before("run")
    def set_command(self):
        """Sets the command of the job."""
        self.executable = self.program
        self.executable_opts = [
            *("run", self.workload, f"--preset={self.preset}", "--output=result", "--force"),
            *self.options,
        ]

    @sanity_function
    def has_a_score(self):
        """Returns whether the run left a summary, which only a run with a score does."""
        summary = Path(self.stagedir) / "result" / f"{self.workload}_summary.json"
        return sn.all(
            [
                sn.assert_true(sn.path_exists(str(summary)), msg=f"no score: {summary} is missing"),
                sn.assert_eq(self.job.exitcode, 0, msg="hepbench ended with exit code {0}"),
            ]
        )

    @run_before("performance")
    def set_scores(self):
        """Declares each score of the run as a figure with its unit."""
        result = json.loads((Path(self.stagedir) / "result" / "result.json").read_text(encoding="utf-8"))
        self.perf_variables = {
            name: sn.make_performance_function(float, score["unit"], score["spread"]["median"])
            for name, score in result["scores"].items()
        }
