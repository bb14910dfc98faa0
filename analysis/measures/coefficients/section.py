"""What coefficients do, and the best there could be."""

from __future__ import annotations

from analysis.measures.coefficients.figures import coefficient_distributions, coefficients_answer, oracle_scatter, subtraction
from analysis.measures.coefficients.read import sign_use
from analysis.page.pieces import Html
from analysis.page.section import Section
from analysis.tables.columns import Column

SIGNS = (
    Column("class", "class"),
    Column("seed", "seed"),
    Column("detections", "detections"),
    Column("negative", "coefficients below 0 (%)", 0, 100),
    Column("subtracted", "of |coefficient| × activation, subtracted (%)", 0, 100),
)


class CoefficientsSection(Section):
    """Distribution, sign and limits of the coefficients."""

    name = "coefficients"

    def answer(self, variant: str = "") -> Html:
        return self.pieces.sentence(lambda: coefficients_answer(self.experiment, self._variant(variant)))

    def distributions(self, variant: str = "") -> Html:
        return self._draw(lambda: coefficient_distributions(self.experiment, self._variant(variant)))

    def subtraction(self) -> Html:
        return self._draw(lambda: subtraction(self.experiment))

    def sign_use(self, variant: str = "") -> Html:
        """How often coefficients are negative, and how much that subtracts, by class."""
        name = self._variant(variant)
        title = f"Use of the sign by the detections of {self.experiment.variant(name).label} that find an object"
        return self.pieces.frame("sign_use", title, lambda: sign_use(self.experiment, name), SIGNS)

    def best(self, variant: str = "") -> Html:
        return self._draw(lambda: oracle_scatter(self.experiment, self._variant(variant)))
