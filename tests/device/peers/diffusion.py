"""SDEdit, textual inversion, UNet and autoencoder of Stable Diffusion 1.5 in diffusers and PyTorch, eager and compiled: the peer of
`device_figures diffusion`.

    python diffusion.py [--model DIR] [--plain] [--device cpu --small] [--seconds N] [--compile compiled]

Without diffusers, or with --plain, the UNet is that of plain_unet.py and there are no figures of the autoencoder.

Batches: all copies of all CDPs (ours from pictures to pictures: a copy of each CDP) and both halves of guidance at once, sources encoded once, texts before the clock
starts; plain_unet.py's sampler, which is a few numbers a step. Keys and values of the texts are made in every step, since diffusers has no place for them; textual inversion encodes a
prompt per sample and trains the embedding matrix, as the public script does, on latents that are there already."""
import torch

from measure import TYPES, Bench, compiled, error, line, matrix_rates, precision
from plain_unet import Sampler

STEPS, STRENGTH, GUIDANCE, COPIES = 25, 0.4, 7.0, 3
LEARNING_RATE = 1e-4
AUTOENCODER_BATCH = 4


class Figures:
    def __init__(self, bench, model):
        self.bench, self.model = bench, model
        self.rows = (4, 2) if bench.small else (24, 48, 8, 2)
        self.usual_cdps, self.inversion_batch, self.pictures = (2, 4, 2) if bench.small else (8, 32, 4)
        self.type = "bf16"
        self.sampler = Sampler(STEPS, STRENGTH)

    def randn(self, *shape, dtype=torch.float32):
        return torch.randn(*shape, device=self.bench.device, dtype=dtype)

    def latents(self, count, dtype=torch.float32):
        return self.randn(count, 4, self.model.side, self.model.side, dtype=dtype)

    def states(self, count):
        return self.randn(count, 77, self.model.text_width, dtype=TYPES[self.type])

    # --- UNet ---
    def unet_step(self, rows, peer, network):
        name = f"diffusion.unet.b{rows}.{self.type}"

        def work():
            dtype = TYPES[self.type]
            sample, states = self.latents(rows, dtype), self.states(rows)
            times = torch.full((rows,), 400, device=self.bench.device)
            with torch.no_grad():
                rate = self.bench.rate(name, rows, "rows/s", lambda: network(sample, times, states, return_dict=False), peer)
            line(f"{name}.milliseconds.{peer}", 1e3 * rows / rate, "ms", peer)
        self.bench.attempt(name, work, peer)

    # --- SDEdit ---
    def edited(self, network, clean, states):
        """[N, 4, r, r] from clean latents of N copies; states [2 N, 77, D], unconditional first."""
        def predict(sample, time):
            both = torch.cat([sample, sample]).to(TYPES[self.type])
            times = torch.full((len(both),), time, device=self.bench.device)
            without, with_text = network(both, times, states, return_dict=False)[0].float().chunk(2)
            return without + GUIDANCE * (with_text - without)
        return self.sampler.edit(clean, predict)

    def latent_edit(self, cdps, peer, network):
        name = f"diffusion.sdedit.cdps{cdps}.latents.{self.type}"

        def work():
            clean, states = self.latents(cdps).repeat_interleave(COPIES, 0), self.states(2 * cdps * COPIES)
            with torch.no_grad():
                self.bench.rate(name, cdps * COPIES, "images/s", lambda: self.edited(network, clean, states).cpu(), peer)
        self.bench.attempt(name, work, peer)

    def edit(self, cdps, peer, network, variant=""):
        name = f"diffusion.sdedit.cdps{cdps}.{self.type}{variant}"
        model, device = self.model, self.bench.device

        def encode(argb):
            dtype = model.autoencoder_type
            posterior = model.vae.encode((argb[:, 1:] * 2 - 1).to(dtype)).latent_dist
            return ((posterior.mean + posterior.std * model.encoder(argb.to(dtype))) * model.vae.config.scaling_factor).float()

        def decode(latents):
            dtype = model.autoencoder_type
            plain = (latents / model.vae.config.scaling_factor).to(dtype)
            pixel = (model.vae.decode(plain, return_dict=False)[0].float() * 0.5 + 0.5).clamp(0, 1).to(dtype)
            return self.votes(pixel, plain).float()

        def work():
            model.require_autoencoder()
            pictures = torch.randint(0, 256, (cdps, 4, model.resolution, model.resolution), dtype=torch.uint8)
            states = self.states(2 * cdps * COPIES)

            def once():
                argb = pictures.to(device).float() / 255
                clean = torch.cat([encode(part) for part in argb.split(AUTOENCODER_BATCH)])
                latents = self.edited(network, clean.repeat_interleave(COPIES, 0), states)
                made = [(decode(part) * 255).round().to(torch.uint8).cpu() for part in latents.split(AUTOENCODER_BATCH)]
                return torch.cat(made)
            with torch.no_grad():
                self.bench.rate(name, cdps * COPIES, "images/s", once, peer, note="pictures are not framed, cleaned or checked")
        self.bench.attempt(name, work, peer)

    def votes(self, pixel, latent):
        from diffusion_model import decode_by_votes
        return decode_by_votes(self.model.decoder, pixel, latent)

    # --- textual inversion ---
    def inversion(self, peer, network):
        batch = self.inversion_batch
        name = f"diffusion.ttti.b{batch}.{self.type}"

        def work():
            text, vocabulary = self.model.text, self.model.text.config.vocab_size
            embedding = text.get_input_embeddings()
            embedding.weight.requires_grad_(True)
            optimizer = torch.optim.AdamW([embedding.weight], lr=LEARNING_RATE)
            ids = torch.randint(0, vocabulary, (batch, 77), device=self.bench.device)
            latents, noise = self.latents(batch), self.latents(batch)
            times = torch.randint(0, int(1000 * STRENGTH) + 1, (batch,), device=self.bench.device)

            def step():
                noisy = self.sampler.add_noise(latents, noise, times).to(TYPES[self.type])
                states = text(ids)[0].to(TYPES[self.type])
                predicted = network(noisy, times, states, return_dict=False)[0]
                loss = torch.nn.functional.mse_loss(predicted.float(), noise)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            self.bench.rate(name, batch, "samples/s", step, peer)
            embedding.weight.requires_grad_(False)
        self.bench.attempt(name, work, peer)

    # --- autoencoder ---
    def autoencoder(self, name_of_type, peer="eager"):
        from diffusion_model import decode_by_votes
        model, count = self.model, self.pictures

        def measure(what, network_of, call):
            name = f"diffusion.{what}.b{count}.{name_of_type}"

            def work():
                model.require_autoencoder()
                network = network_of() if peer == "eager" else compiled(network_of(), peer)
                dtype = model.autoencoder_type
                pictures = torch.rand(count, 3, model.resolution, model.resolution, device=self.bench.device, dtype=dtype)
                latents = self.latents(count, dtype)
                with torch.no_grad():
                    self.bench.rate(name, count, "images/s", lambda: call(network, pictures, latents), peer)
            self.bench.attempt(name, work, peer)
        measure("autoencoder.encode", lambda: model.vae.encode, lambda network, pictures, latents: network(pictures * 2 - 1))
        measure("autoencoder.decode", lambda: model.vae.decode, lambda network, pictures, latents: network(latents))
        measure("transparent_decoder", lambda: model.decoder, decode_by_votes)

    # --- in the order of importance ---
    def run(self):
        unet = self.model.unet
        self.unet_step(self.rows[0], "eager", unet)
        self.inversion("eager", unet)
        self.edit(self.usual_cdps, "eager", unet)
        self.autoencoder("tf32" if self.bench.on_gpu else "fp32")
        self.latent_edit(self.usual_cdps, "eager", unet)
        for peer in self.bench.compiled:
            network = compiled(unet, peer)  # a size of its own is compiled anew
            self.unet_step(self.rows[0], peer, network)
            self.inversion(peer, network)
            self.latent_edit(self.usual_cdps, peer, network)
        for rows in self.rows[1:]:
            self.unet_step(rows, "eager", unet)
        self.model.set_autoencoder_type(torch.bfloat16)
        self.autoencoder("bf16")
        self.edit(self.usual_cdps, "eager", unet, ".autoencoder_bf16")
        for peer in self.bench.compiled:
            self.autoencoder("bf16", peer)
        unet.to(torch.float16 if self.bench.on_gpu else torch.float32)
        self.type = "fp16" if self.bench.on_gpu else "fp32"
        for rows in self.rows:
            self.unet_step(rows, "eager", unet)
        self.inversion("eager", unet)


def add_options(parser):
    parser.add_argument("--model", help="a folder of make-model; without one, random weights in memory")
    parser.add_argument("--plain", action="store_true", help="the UNet in plain PyTorch, whether diffusers is there or not")


def main(arguments=None):
    bench = Bench(__doc__.split("\n")[0], arguments,
                  add_options)
    precision("tf32" if bench.on_gpu else "fp32")  # text encoder and autoencoder, as ours
    try:
        from diffusion_model import Model
        model = Model(bench, bench.options.model, bench.options.plain)
    except Exception as problem:  # a library that is not there, or does not fit
        return error("diffusion.eager", f"{type(problem).__name__}: {problem}".splitlines()[0], "eager")
    Figures(bench, model).run()
    matrix_rates(bench, "diffusion")


if __name__ == "__main__":
    main()
