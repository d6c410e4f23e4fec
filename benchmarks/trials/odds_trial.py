"""The prototype beside kalmap, the Gaussian sum and the oracle.

python benchmarks/trials/odds_trial.py [--users 150] [--seeds 1 2] [--worlds NAME...] [--fit]
python benchmarks/trials/odds_trial.py --sets [NAME...]
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "functions"), str(ROOT / "cli")]

import numpy as np

from benchmarks.trials import gaussian_sum, kalman, product, scores, series, simple, simulators
from benchmarks.trials import odds_filter as odds
from benchmarks.trials.estimates import Estimates
from benchmarks.trials.kalman import Model
from kalmap.profile import builtin_profile

#: Fitted to good readings of another seed of the clean world; the rest are general.
MODEL = Model(0.504, 0.109, 0.16, 5.77, 0.05, 15.0, 0.0007, 77.1)
GENERAL = odds.Parameters(0.504, 0.109, 0.16, 5.77, 0.0007, 0.05, 77.1, 18.0)
#: The same with a slope that a diet fits in.
WIDE = GENERAL._replace(slope_sd=0.08, slope_noise=0.012, slope_damping=0.02)
#: The built-in profile's noise, which every world is noisier than.
BODY_WEIGHT = WIDE._replace(noise=0.3473, level_noise=0.0836)
FIGURES = ("RMSE", "RMSE from the 8th reading", "log score", "95 % holds", "of readings",
           "of the calm", "of the noisy", "1 d ahead", "7 d ahead", "30 d ahead", "good rejected",
           "gross found", "locked out")  # fmt: skip


def run(p, data, ahead=()):
    """Fold every user's readings, one after the other."""
    users, readings = data.value.shape
    out = np.full((len(odds.Answer._fields), users, readings), np.nan)
    later = {d: (np.full((users, readings), np.nan), np.full((users, readings), np.nan))
             for d in ahead}  # fmt: skip
    for u in range(users):
        state, first, last = odds.begin(p), True, 0.0
        for i in range(readings):
            value, day = data.value[u, i], data.days[u, i]
            if np.isnan(value):
                continue
            gap = 0.0 if first else float(day - last)
            state, answer = odds.step(p, state, first, gap, float(value))
            first, last = False, day
            out[:, u, i] = answer
            if i == 45:
                for days, (mean, sd) in later.items():
                    mean[u, i], sd[u, i] = odds.forecast(p, state, float(days))
    # What is out of the range is wrong, as it is for kalmap.
    wrong = np.where(np.isnan(data.value), 1.0, out[4])
    return Estimates(*out[:4], wrong, later), out[6]


def fitted(p, data, names=("fault", "repeated", "jump")):
    """The priors under which the readings are most likely: a compass search of logits."""

    def likelihood(q):
        return float(np.nanmean(run(q, data)[1]))

    best, most = p, likelihood(p)
    steps = dict.fromkeys(names, 1.4)
    for _ in range(5):
        for name in names:
            for sign in (1.0, -1.0):
                x = getattr(best, name)
                x = 1.0 / (1.0 + (1.0 / x - 1.0) * np.exp(-sign * steps[name]))
                trial = best._replace(**{name: float(np.clip(x, 1e-5, 0.6))})
                found = likelihood(trial)
                if found > most + 1e-5:
                    best, most = trial, found
                    break
            else:
                steps[name] /= 2.0
    return best


def in_range(world):
    value = world.series.value
    ok = (value >= 20.0) & (value <= 350.0)
    return world.series._replace(value=np.where(ok, value, np.nan)), ok


def worlds(arguments):
    for name in arguments.worlds:
        simulate, begun = simulators.WORLDS[name], time.time()
        methods = {"general": GENERAL, "wide": WIDE, "built in": BODY_WEIGHT}
        methods = {m: methods[m] for m in arguments.methods}
        if arguments.fit:
            methods["fitted"] = fitted(GENERAL, in_range(simulate(1000, 40))[0])
            q = methods["fitted"]
            print(f"   fitted fault {q.fault:.4f} repeated {q.repeated:.3f} jump {q.jump:.5f}")
        found = {}
        for seed in arguments.seeds:
            world = simulate(seed, arguments.users)
            data, ok = in_range(world)
            answers = {m: run(p, data, simulators.AHEAD)[0] for m, p in methods.items()}
            answers["Gaussian sum"] = gaussian_sum.run(MODEL, data)
            answers["oracle"] = kalman.run(MODEL, data, ~world.wild & ok, noise=world.noise,
                                           jump=world.jumped, jump_sd=8.0)  # fmt: skip
            answers["kalmap"] = product.run(builtin_profile("body-weight"), world.series, "scale",
                                            ahead=simulators.AHEAD, origins=(45,))  # fmt: skip
            train = simulate(1000, 100)
            good = train.series._replace(
                value=np.where(train.wild, np.nan, train.series.value))  # fmt: skip
            for label in ("exponential average", "median of 7"):
                method = simple.fitted(good)[label]
                answers[label] = simple.run(method, good, ~train.wild, data)
            for m, e in answers.items():
                found.setdefault(m, []).append(scores.of_world(world, e, ok))
        print(f"== {name} ({time.time() - begun:.0f} s)")
        for m, runs in found.items():
            row = [np.mean([r.get(f, np.nan) for r in runs]) for f in FIGURES]
            for i in (0, 1):
                row[i] = np.sqrt(np.mean([r[FIGURES[i]] ** 2 for r in runs]))
            print(f"{m:20}" + " ".join(f"{x:7.3f}" for x in row), flush=True)


def sets(arguments):
    for name in arguments.sets or series.DATA_SETS:
        data = series.read(name)
        number, parts, own = np.arange(len(data.value)), {}, {}
        for half in (0, 1):
            train, held = data.of(number % 2 != half), data.of(number % 2 == half)
            model = kalman.fit(train, ~np.isnan(train.value))
            low, high = np.nanmin(train.value), np.nanmax(train.value)
            width = float(high - low)
            p = odds.Parameters(
                *(float(x) for x in (
                    model.noise, model.level_noise, model.slope_noise, model.damping,
                    model.slope_mean, max(model.slope_sd, 1e-12), model.level_mean,
                    model.level_sd)),
                fault=0.003, jump=0.001, jump_sd=width / 5.0, restart=1e-6, repeated=0.1,
                low=float(low) - 2.0 * width, high=float(high) + 2.0 * width, units=(),
                noise_prior=arguments.noise_prior,
            )  # fmt: skip
            parts.setdefault("exact", []).append(
                (held, kalman.run(model, held, ~np.isnan(held.value))))  # fmt: skip
            for label, q in (("gaussian", p._replace(learns_noise=False)), ("learns reading", p),
                             ("learns all", p._replace(scales_level=True))):  # fmt: skip
                estimates, density = run(q, held)
                parts.setdefault(label, []).append((held, estimates))
                own.setdefault(label, []).append(density[:, 1:].ravel())
        for label, pairs in parts.items():
            value = np.vstack([s.value for s, _ in pairs])
            value[:, 0] = np.nan
            spread = np.nanmean(np.abs(np.diff(value, 2, axis=1)), axis=1)
            calm, noisy = scores.thirds(spread)
            e = Estimates(*(np.vstack([getattr(x, f) for _, x in pairs])
                            for f in Estimates._fields[:5]), {})  # fmt: skip
            reading = (value, e.predicted, e.predicted_sd)
            known = ~np.isnan(value)
            width = float(np.nanmax(data.value) - np.nanmin(data.value))
            print(
                f"{name:12} {label:15} RMSE {scores.rmse(e.predicted - value):8.4g} second "
                f"{scores.rmse((e.predicted - value)[:, 1]):7.4g} log "
                f"{scores.log_score(e, value, width, known):6.2f} holds "
                f"{100 * scores.coverage(*reading):5.1f} calm "
                f"{100 * scores.coverage(*(x[calm] for x in reading)):5.1f} noisy "
                f"{100 * scores.coverage(*(x[noisy] for x in reading)):5.1f} rejected "
                f"{100 * np.mean(e.wrong[known] > 0.5):.1f} own density "
                f"{np.nanmean(np.concatenate(own.get(label, [[np.nan]]))):.2f}", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--worlds", nargs="*", default=list(simulators.WORLDS))
    parser.add_argument("--methods", nargs="*", default=["general", "wide", "built in"])
    parser.add_argument("--sets", nargs="*", default=None)
    parser.add_argument("--noise-prior", type=float, default=4.0)
    parser.add_argument("--fit", action="store_true")
    warnings.simplefilter("ignore")
    chosen = parser.parse_args()
    (sets if chosen.sets is not None else worlds)(chosen)
