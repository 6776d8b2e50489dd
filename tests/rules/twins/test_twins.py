"""The twins against what is exact: BPTT by hand, finite differences, means over all draws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from . import diagonal, influence, leaky_tanh, low_rank, perturbation, sketched, windows
from .dni import DNI
from .kernl import KeRNL
from .leaky_tanh import Net, bptt, run, summed_loss
from .optimal_kronecker import OK, unbiased_rounding
from .record import total

N, M, OUT, T = 4, 3, 2, 6
ALPHA = 0.6


def net(**options) -> Net:
    return Net.drawn(N, M, OUT, ALPHA, seed=3, **options)


def data(length: int = T, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(length, M)), rng.normal(size=(length, OUT))


def w_of(rule, draws=None, made=None, length: int = T) -> np.ndarray:
    return total(run(rule, made or net(), *data(length), draws), "w")


def close(got, want, tolerance=1e-12):
    assert np.abs(want).max() > 1e-3, "nothing is compared"
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


def test_bptt_is_the_derivative_of_the_loss():
    made, (xs, ys) = net(), data()
    w, g = made.weights["w"], np.zeros_like(made.weights["w"])
    for at in np.ndindex(w.shape):
        up, down = w.copy(), w.copy()
        up[at] += 1e-6
        down[at] -= 1e-6
        g[at] = (summed_loss(made, up, xs, ys) - summed_loss(made, down, xs, ys)) / 2e-6
    close(bptt(made, xs, ys), g, 1e-8)


def test_rtrl_is_bptt():
    close(w_of(influence.RTRL()), bptt(net(), *data()))


def sparse_mask() -> np.ndarray:
    mask = np.zeros((N + M + 1, N))
    mask[np.arange(N), (np.arange(N) + 1) % N] = 1  # a ring: unit i acts on i + 1
    mask[N:] = 1
    return mask


def test_snap_reaches_rtrl_at_the_diameter():
    made, mask = net(mask=sparse_mask()), sparse_mask()
    exact = bptt(made, *data())
    errors = [np.abs(w_of(influence.SnAp(k, mask[:N].T), made=made) - exact).max()
              for k in range(1, N + 1)]  # fmt: skip
    assert errors[-1] < 1e-12
    assert min(errors[:-1]) > 1e-4


def test_snap_1_is_the_own_unit_with_its_self_weight():
    got = w_of(influence.SnAp1())
    close(got, w_of(influence.SnAp(1, np.ones((N, N)))))
    assert np.abs(got - w_of(diagonal.DRTRL())).max() > 1e-3


def test_without_recurrent_weight_one_number_is_exact():
    made = net()
    made.weights["w"][:N] = 0
    inputs = slice(N, None)
    exact = bptt(made, *data())
    for rule in (diagonal.DRTRL(), diagonal.RFLO(), influence.SnAp(2, np.eye(N))):
        close(w_of(rule, made=made)[inputs], exact[inputs])
    close(w_of(diagonal.RFLO(net().weights["w_out"])), w_of(diagonal.DRTRL()))


def test_pp_prop_of_one_step_is_exact():
    for decays in ((0.9, 0.9), (0.5, 0.8), (0.7, 0.0)):
        close(w_of(diagonal.PPProp(*decays), length=1), bptt(net(), *data(1)))


def test_three_factor_takes_any_modulator():
    _, ys = data()
    signals = [r.signal for r in run(diagonal.DRTRL(), net(), *data())]
    close(w_of(diagonal.ThreeFactor(), np.array(signals)), w_of(diagonal.DRTRL()))


def test_a_cascade_has_its_maximum_at_the_delay():
    order, peak = 3, 12
    rule = diagonal.CET(order, peak)
    made = net()
    made.alpha = 1.0  # the inner trace is the present step's alone
    xs, ys = data(40)
    now = made.now(np.zeros(N), xs[0], ys[0])
    seen = [rule.step(now).traces[f"z{order + 1}"][N, 0]]
    now.D = np.zeros(N)
    for _ in range(39):
        seen.append(rule.step(now).traces[f"z{order + 1}"][N, 0])
    # A discrete cascade of q = order + 1 stages peaks between the delays of both limits.
    assert abs(int(np.abs(seen).argmax()) - peak) <= 2


def all_signs(count: int):
    return (np.array(s, float) for s in itertools.product((-1, 1), repeat=count))


@pytest.mark.parametrize(
    ("rule", "per_step"), [(low_rank.UORO, 2), (low_rank.KFRTRL, 2), (low_rank.RKFRTRL, 2)]
)
def test_low_rank_is_unbiased_over_all_signs(rule, per_step):
    made = Net.drawn(2, 1, 1, ALPHA, seed=4)
    rng = np.random.default_rng(0)
    xs, ys = rng.normal(size=(4, 1)), rng.normal(size=(4, 1))
    draws = [s.reshape(4, per_step) for s in all_signs(4 * per_step)]
    made_of = [total(run(rule(), made, xs, ys, d), "w") for d in draws]
    close(np.mean(made_of, axis=0), bptt(made, xs, ys), 1e-11)
    assert np.std(made_of, axis=0).max() > 1e-3


@pytest.mark.parametrize(
    "sigma", [(3.0, 1.0, 0.5), (1.0, 0.9, 0.8), (1.0, 0.0, 0.0), (5.0, 4.0, 0.1, 0.1)]
)
def test_rounding_is_unbiased(sigma):
    q = len(sigma)
    rounded = [unbiased_rounding(np.array(sigma), q - 1, s)[0] for s in all_signs(q)]
    np.testing.assert_allclose(
        np.mean([L @ L.T for L in rounded], axis=0), np.diag(sigma), atol=1e-12
    )
    assert rounded[0].shape == (q, q - 1)


@pytest.mark.parametrize("rank", [1, 2])
def test_optimal_kronecker_is_unbiased_over_all_signs(rank):
    made = Net.drawn(2, 1, 1, ALPHA, seed=4)
    rng = np.random.default_rng(0)
    xs, ys = rng.normal(size=(3, 1)), rng.normal(size=(3, 1))
    draws = [s.reshape(3, rank + 1) for s in all_signs(3 * (rank + 1))]
    mean = np.mean([total(run(OK(rank), made, xs, ys, d), "w") for d in draws], axis=0)
    close(mean, bptt(made, xs, ys), 1e-11)


def test_optimal_kronecker_varies_less_than_kf():
    made, (xs, ys) = net(), data(3)
    rng = np.random.default_rng(1)
    exact = bptt(made, xs, ys)

    def variance(rule, width):
        draws = rng.choice([-1.0, 1.0], size=(300, 3, width))
        return np.mean([((total(run(rule(), made, xs, ys, d), "w") - exact) ** 2).sum()
                        for d in draws])  # fmt: skip

    assert variance(lambda: OK(1), 2) < variance(low_rank.KFRTRL, 2)
    assert variance(lambda: OK(4), 5) < 1e-20  # three steps are three terms


def test_forward_gradient_over_a_whole_basis_is_exact():
    P = (N + M + 1) * N
    basis = np.eye(P).reshape(P, N + M + 1, N) * np.sqrt(P)
    close(w_of(perturbation.ForwardGradient(basis)), bptt(net(), *data()))


def test_forward_gradient_is_unbiased():
    rng = np.random.default_rng(2)
    probes = rng.normal(size=(20000, N + M + 1, N))
    exact = bptt(net(), *data())
    close(w_of(perturbation.ForwardGradient(probes)), exact, 0.15)


def test_node_perturbation_approaches_rtrl():
    rng = np.random.default_rng(3)
    sigma, length = 1e-5, 3
    draws = rng.normal(size=(1500, length, N)) * sigma
    draws = np.concatenate([draws, -draws])
    mean = np.mean(
        [w_of(perturbation.NodePerturbation(sigma), d, length=length) for d in draws], axis=0
    )
    close(mean, bptt(net(), *data(length)), 0.2)


def test_a_sketch_of_full_rank_is_exact_and_the_certificate_holds():
    close(w_of(sketched.Sketched(N)), bptt(net(), *data()))
    exact = run(influence.RTRL(), net(), *data())
    for rank in (1, 2):
        for got, want in zip(run(sketched.Sketched(rank), net(), *data()), exact, strict=True):
            error = np.linalg.norm(got.traces["m"] - want.traces["m"])
            assert error <= got.traces["bound"] + 1e-12
    assert error > 1e-4


def test_windows_that_hold_the_whole_sequence_are_bptt():
    exact = bptt(net(), *data())
    close(w_of(windows.TBPTT(1, T)), exact)
    close(w_of(windows.TBPTT(T, T)), exact)
    close(w_of(windows.TBPTT(2, T)), exact)
    assert np.abs(w_of(windows.TBPTT(1, 2)) - exact).max() > 1e-3
    rule = windows.FutureFacing(T)
    close(w_of(rule) + rule.flush(), exact)
    rule = windows.FutureFacing(3)
    close(w_of(rule) + rule.flush(), w_of(windows.TBPTT(1, 3)))


def test_kernl_with_the_true_kernel_is_exact_without_recurrent_weight():
    made = net()
    made.weights["w"][:N] = 0
    draws = np.random.default_rng(0).normal(size=(T, N)) * 1e-5
    rule = KeRNL(N, eta=0.1, alpha=ALPHA)
    close(w_of(rule, draws, made)[N:], bptt(made, *data())[N:], 1e-8)


def test_kernl_learns_its_kernel():
    draws = np.random.default_rng(0).normal(size=(3000, N)) * 0.01
    made = net()
    made.weights["w"] *= 0.4

    def misses(eta):
        rule, h, seen = KeRNL(N, eta), np.zeros(N), []
        for x, y, d in zip(*data(3000), draws, strict=True):
            now = made.now(h, x, y)
            rule.step(now, d)
            h = now.h
            seen.append(np.sum((rule.A @ rule.omega - (rule.noisy - now.h)) ** 2))
        return np.mean(seen[-1000:])

    assert misses(20.0) < 0.9 * misses(0.0)


def test_dni_learns_the_credit_of_a_constant_task():
    made = net()
    A = np.zeros((N, N + OUT + 1))
    xs, ys = np.ones((4000, M)) * 0.3, np.ones((4000, OUT)) * 0.2
    rule = DNI(A, eta=0.05)
    records = run(rule, made, xs, ys)
    # On a fixed point the credit is the geometric sum of the Jacobian: c = (I - Jᵀ)⁻¹ q.
    now = made.now(np.zeros(N), xs[0], ys[0])
    for _ in range(4000):
        now = made.now(now.h, xs[0], ys[0])
    assert np.abs(np.linalg.eigvals(now.J)).max() < 1
    close(records[-1].signal, np.linalg.solve(np.eye(N) - now.J.T, now.q), 1e-6)


@pytest.mark.parametrize("name", ["uoro", "kf", "kernl", "dni", "rflo"])
def test_trajectories_move_and_stay_finite(name):
    rng = np.random.default_rng(7)
    xs, ys = data(100)
    signs = rng.choice([-1.0, 1.0], size=(100, N))
    rule, draws = {
        "uoro": lambda: (low_rank.UORO(), signs),
        "kf": lambda: (low_rank.KFRTRL(), signs[:, :2]),
        "kernl": lambda: (KeRNL(N, 0.1), rng.normal(size=(100, N)) * 1e-3),
        "dni": lambda: (DNI(rng.normal(size=(N, N + OUT + 1)) * 0.1, 0.01), None),
        "rflo": lambda: (diagonal.RFLO(rng.normal(size=(N, OUT))), None),
    }[name]()
    records = leaky_tanh.train(rule, net(), xs, ys, draws, steps=100, lr=0.01)
    assert len(records) == 100
    moved = np.abs(records[-1].weights["w"] - net().weights["w"]).max()
    assert 1e-4 < moved < 10
