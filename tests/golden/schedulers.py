#!/usr/bin/env python3
"""Makes schedulers.json: grids, noise levels and whole trajectories of the schedulers of diffusers 0.42.

The schedulers are made from Stable Diffusion 1.5's scheduler file the way a pipeline does it, and the start of an edit comes
from the img2img pipeline's own get_timesteps. Instead of a network there is a made-up function of (input, timestep), and all
samples and noise come from the integer hash of tests/support/hashed_numbers.h, so that the file holds only what comes out.
The Karras sampler of LayerDiffuse's img2img program is written down again here in numpy.

Run: python3 tests/golden/schedulers.py   (needs torch, diffusers 0.42 and transformers)
"""
import json
import math
import pathlib
import types

import diffusers
import numpy
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import StableDiffusionImg2ImgPipeline
from diffusers.schedulers import scheduling_euler_ancestral_discrete

HERE = pathlib.Path(__file__).resolve().parent
STABLE_DIFFUSION = {
    "_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000, "steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False, "skip_prk_steps": True,
}
KINDS = {
    "dpmpp2m_linspace": (diffusers.DPMSolverMultistepScheduler, {}),
    "dpmpp2m_leading": (diffusers.DPMSolverMultistepScheduler, {"timestep_spacing": "leading"}),
    "ddim_leading": (diffusers.DDIMScheduler, {}),
    "euler_leading": (diffusers.EulerDiscreteScheduler, {"timestep_spacing": "leading"}),
    "euler_ancestral_leading": (diffusers.EulerAncestralDiscreteScheduler, {"timestep_spacing": "leading"}),
    "euler_ancestral_linspace": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "pndm_faithful": (diffusers.PNDMScheduler, {}),
}
KARRAS, FRACTIONAL = "karras25_cli", "euler_ancestral_linspace"
STEPS = (25, 50)
STRENGTHS = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0)
TRAJECTORIES = ((25, 0.4), (25, 1.0), (50, 0.25), (25, 0.1))
PREDICTIONS = ("epsilon", "v_prediction")
TABLE = (0, 1, 39, 100, 200, 300, 361, 381, 399, 400, 401, 500, 600, 700, 800, 900, 961, 999)
CLEAN, NOISE, FRESH = 1, 2, 100  # tensor indices of the hash; fresh noise of evaluation k: FRESH + k
SHAPE = (1, 1, 2, 2)


def hashed(tensor_index):
    """Uniform numbers in [-2, 2) with 24 bits: splitmix64's output function on (tensor index, element)."""
    with numpy.errstate(over="ignore"):
        z = numpy.arange(math.prod(SHAPE), dtype=numpy.uint64) + (numpy.uint64(tensor_index) << numpy.uint64(32))
        z = (z + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    values = 4 * ((z >> numpy.uint64(40)).astype(numpy.float64) * 2.0**-24) - 2
    return torch.from_numpy(values.astype(numpy.float32)).reshape(SHAPE)


def network(model_input, timestep):
    """Stands for the UNet: depends on the input, the timestep and the place in the picture."""
    places = torch.arange(math.prod(SHAPE), dtype=torch.float64).reshape(SHAPE)
    return (0.3 * model_input.double() + torch.cos(0.01 * float(timestep) + places)).float()


def short(values):
    """Nine digits hold a float32 exactly."""
    return [float(f"{float(v):.9g}") for v in values]


def whole(timesteps):
    assert all(float(t).is_integer() for t in timesteps)
    return [int(t) for t in timesteps]


def made(kind, prediction_type="epsilon"):
    cls, changes = KINDS[kind]
    original = diffusers.PNDMScheduler.from_config({**STABLE_DIFFUSION, "prediction_type": prediction_type})
    return cls.from_config(original.config, **changes)


def sigmas_of(scheduler, steps):
    """Of the full grid and the final sample; DDIM and PNDM keep no such list, only abar."""
    if hasattr(scheduler, "sigmas"):
        return scheduler.sigmas.numpy()
    last = int(scheduler.timesteps[-1]) - 1000 // steps
    assert last < 0
    abar = torch.cat([scheduler.alphas_cumprod[scheduler.timesteps], scheduler.final_alpha_cumprod.reshape(1)])
    return (((1 - abar) / abar) ** 0.5).numpy()


def start(scheduler, steps, strength):
    """The timesteps that the img2img pipeline runs; it also tells the scheduler where they begin."""
    pipeline = types.SimpleNamespace(scheduler=scheduler)
    return StableDiffusionImg2ImgPipeline.get_timesteps(pipeline, steps, strength, "cpu")[0]


def grids():
    result = {}
    for kind in KINDS:
        result[kind] = {}
        for steps in STEPS:
            scheduler = made(kind)
            scheduler.set_timesteps(steps)
            full = scheduler.timesteps.clone()
            entry = {"timesteps": whole(full) if kind != FRACTIONAL else short(full), "sigmas": short(sigmas_of(scheduler, steps)), "evaluated": {},
                     "init_noise_sigma": float(scheduler.init_noise_sigma)}
            for strength in STRENGTHS:
                used = start(scheduler, steps, strength)
                assert torch.equal(used, full[len(full) - len(used):])
                entry["evaluated"][str(strength)] = len(used)
            result[kind][str(steps)] = entry
    return result


def trajectory(kind, prediction_type, steps, strength):
    scheduler = made(kind, prediction_type)
    scheduler.set_timesteps(steps)
    timesteps = start(scheduler, steps, strength)
    sample = scheduler.add_noise(hashed(CLEAN), hashed(NOISE), timesteps[:1])
    samples = short(sample.flatten())
    for k, t in enumerate(timesteps):
        scheduling_euler_ancestral_discrete.randn_tensor = lambda *_, **__: hashed(FRESH + k)
        prediction = network(scheduler.scale_model_input(sample, t), t)
        sample = scheduler.step(prediction, t, sample).prev_sample
        samples += short(sample.flatten())
    return samples


def karras_grid(steps, strength):
    betas = numpy.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    abar = numpy.cumprod(1 - betas).astype(numpy.float32)
    trained = numpy.sqrt((1 - abar) / abar)
    levels = int(steps / strength)
    power, root = numpy.float32(7), numpy.float32(1 / 7)
    ramp = numpy.linspace(0, 1, levels).astype(numpy.float32)
    high, low = trained[-1] ** root, trained[0] ** root
    sigmas = ((high + ramp * (low - high)) ** power)[-steps:]
    timesteps = [int(numpy.abs(numpy.log(s) - numpy.log(trained)).argmin()) for s in sigmas]
    return timesteps, numpy.append(sigmas, numpy.float32(0))


def karras_trajectory(steps, strength):
    """In float64 from the float32 grid: what rounding leaves is in the other program."""
    timesteps, sigmas = karras_grid(steps, strength)
    sigmas = sigmas.astype(numpy.float64)
    x = (hashed(CLEAN).double() + hashed(NOISE).double() * sigmas[0]).numpy()
    samples, before = short(x.flatten()), None
    for i, t in enumerate(timesteps):
        now, after = sigmas[i], sigmas[i + 1]
        eps = network(torch.from_numpy(x / math.sqrt(now**2 + 1)), t).double().numpy()
        clean = x - now * eps
        if after == 0:
            x = clean
        else:
            h = math.log(now / after)
            target = clean
            if before is not None:
                r = math.log(sigmas[i - 1] / now) / h
                target = (1 + 1 / (2 * r)) * clean - 1 / (2 * r) * before
            x = after / now * x - math.expm1(-h) * target
        before = clean
        samples += short(x.flatten())
    return samples


def coefficients(steps, strength):
    """x' = of_sample x + of_clean m0 + of_difference (m0 - m1) of DPM-Solver++ 2M, in float64."""
    abar = numpy.cumprod(1 - numpy.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    scheduler = made("dpmpp2m_linspace")
    scheduler.set_timesteps(steps)
    timesteps = start(scheduler, steps, strength)
    alpha, share = numpy.sqrt(abar[timesteps]), numpy.sqrt(1 - abar[timesteps])
    level = numpy.log(alpha / share)
    rows = []
    for k in range(len(timesteps) - 1):
        h = level[k + 1] - level[k]
        factor = -alpha[k + 1] * math.expm1(-h)
        rows.append([share[k + 1] / share[k], factor, 0.5 * factor * h / (level[k] - level[k - 1]) if k > 0 else 0.0])
    return [short(row) for row in rows + [[0.0, 1.0, 0.0]]]


def main():
    torch.set_num_threads(2)
    scheduler = made("ddim_leading")
    exact = numpy.cumprod(1 - numpy.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    result = {
        "diffusers": diffusers.__version__, "torch": torch.__version__,
        "table": [{"t": t, "abar": float(exact[t]), "abar_float32": short([scheduler.alphas_cumprod[t]])[0],
                   "sigma": math.sqrt((1 - exact[t]) / exact[t])} for t in TABLE],
        "grids": grids(),
        "coefficients": [{"steps": n, "strength": s, "rows": coefficients(n, s)} for n, s in ((25, 0.4), (50, 0.7))],
        "trajectories": [],
    }
    result["grids"][KARRAS] = {str(n): {str(s): {"timesteps": karras_grid(n, s)[0], "sigmas": short(karras_grid(n, s)[1])}
                                        for s in (0.2, 0.4, 0.7, 1.0)} for n in STEPS}
    for steps, strength in TRAJECTORIES:
        for kind in KINDS:
            for prediction in PREDICTIONS:
                result["trajectories"].append({"kind": kind, "prediction": prediction, "steps": steps, "strength": strength,
                                               "samples": trajectory(kind, prediction, steps, strength)})
        result["trajectories"].append({"kind": KARRAS, "prediction": "epsilon", "steps": steps, "strength": strength,
                                       "samples": karras_trajectory(steps, strength)})
    (HERE / "schedulers.json").write_text(json.dumps(result, separators=(",", ":"), sort_keys=True).replace('{"', '\n{"') + "\n")


if __name__ == "__main__":
    main()
