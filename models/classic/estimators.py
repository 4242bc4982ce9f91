"""Estimators of scikit-learn by `kind`, with their numbers. Needs no torch."""

from typing import Annotated, Any, Literal

from pydantic import Field
from sklearn import calibration, ensemble, linear_model, svm, tree

from service.types import Spec

CLASSIFIERS = ("svm", "linear_svm", "tree", "forest", "logistic")
TRACE = 1e-3
REGRESSORS = ("svm", "tree", "forest", "linear", "ridge", "lasso")


class Svm(Spec):
    """Cortes and Vapnik, 1995, with an RBF kernel; probabilities by Platt's sigmoids (1999) over folds."""

    kind: Literal["svm"] = "svm"
    c: float = Field(10.0, gt=0)

    def classifier(self, seed: int) -> Any:
        return calibration.CalibratedClassifierCV(svm.SVC(C=self.c, random_state=seed), ensemble=False, cv=3)

    def regressor(self, seed: int) -> Any:
        return svm.SVR(C=self.c)


class LinearSvm(Spec):
    kind: Literal["linear_svm"] = "linear_svm"
    c: float = Field(0.1, gt=0)

    def classifier(self, seed: int) -> Any:
        return calibration.CalibratedClassifierCV(
            svm.LinearSVC(C=self.c, max_iter=20_000, random_state=seed), ensemble=False, cv=3
        )


class Tree(Spec):
    """Breiman et al., Classification and Regression Trees, 1984."""

    kind: Literal["tree"] = "tree"
    depth: int | None = Field(12, gt=0)
    least: int = Field(3, gt=0, description="rows of a leaf")

    def classifier(self, seed: int) -> Any:
        return tree.DecisionTreeClassifier(max_depth=self.depth, min_samples_leaf=self.least, random_state=seed)

    def regressor(self, seed: int) -> Any:
        return tree.DecisionTreeRegressor(max_depth=self.depth, min_samples_leaf=self.least, random_state=seed)


class Forest(Spec):
    """Breiman, Random Forests, 2001."""

    kind: Literal["forest"] = "forest"
    trees: int = Field(100, gt=0)
    depth: int | None = Field(16, gt=0)

    def classifier(self, seed: int) -> Any:
        return ensemble.RandomForestClassifier(self.trees, max_depth=self.depth, random_state=seed)

    def regressor(self, seed: int) -> Any:
        return ensemble.RandomForestRegressor(self.trees, max_depth=self.depth, random_state=seed)


class Logistic(Spec):
    kind: Literal["logistic"] = "logistic"
    c: float = Field(1.0, gt=0)

    def classifier(self, seed: int) -> Any:
        return linear_model.LogisticRegression(C=self.c, max_iter=2000, random_state=seed)


class Linear(Spec):
    """Least squares. Columns that say the same would get coefficients that float32 cannot carry: a trace of a penalty
    keeps them small."""

    kind: Literal["linear"] = "linear"

    def regressor(self, seed: int) -> Any:
        return linear_model.Ridge(TRACE)


class Ridge(Spec):
    kind: Literal["ridge"] = "ridge"
    alpha: float = Field(1.0, gt=0)

    def regressor(self, seed: int) -> Any:
        return linear_model.Ridge(self.alpha)


class Lasso(Spec):
    kind: Literal["lasso"] = "lasso"
    alpha: float = Field(0.01, gt=0)

    def regressor(self, seed: int) -> Any:
        return linear_model.Lasso(self.alpha, max_iter=20_000, random_state=seed)


Estimator = Annotated[Svm | LinearSvm | Tree | Forest | Logistic | Linear | Ridge | Lasso, Field(discriminator="kind")]

Threaded = ensemble.RandomForestClassifier | ensemble.RandomForestRegressor
Classifying = Svm | LinearSvm | Tree | Forest | Logistic
Predicting = Svm | Tree | Forest | Linear | Ridge | Lasso


def build(estimator: Estimator, seed: int, threads: int, *, values: bool) -> Any:
    """Not fitted. Raises TypeError where the kind has no such form; a Task has checked that."""
    if values and isinstance(estimator, Predicting):
        return threaded(estimator.regressor(seed), threads)
    if not values and isinstance(estimator, Classifying):
        return threaded(estimator.classifier(seed), threads)
    raise TypeError(estimator.kind)


def threaded(estimator: Any, threads: int) -> Any:
    return estimator.set_params(n_jobs=threads) if isinstance(estimator, Threaded) else estimator
