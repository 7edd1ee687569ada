"""Segment Anything ViT-H and GroundingDINO base of transformers with random weights, eager and compiled: the peer of
`device_figures segmenters`.

    python segmenters.py [--device cpu --small] [--seconds N] [--compile compiled]"""
import torch

from measure import TYPES, Bench, compiled, error, fill, matrix_rates, precision

BOXES = 4
PROMPT = (101, 1037, 4743, 1012, 102)  # "a bird." between BERT's marks


def sam_config(small):
    from transformers import SamConfig
    if small:
        vision = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_dim=64, image_size=128, window_size=3,
                      global_attn_indexes=[1])
        return SamConfig(vision_config=vision, prompt_encoder_config=dict(image_size=128, patch_size=16))
    return SamConfig(vision_config=dict(hidden_size=1280, num_hidden_layers=32, num_attention_heads=16, mlp_dim=5120,
                                        global_attn_indexes=[7, 15, 23, 31]))


def grounding_dino_config(small):
    from transformers import BertConfig, GroundingDinoConfig, SwinConfig
    stages = ["stage2", "stage3", "stage4"]
    if small:
        backbone = SwinConfig(embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4, image_size=128, out_features=stages)
        text = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
        sizes = dict(d_model=32, num_queries=20, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
                     encoder_ffn_dim=64, decoder_ffn_dim=64)
    else:
        backbone = SwinConfig(embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], window_size=12, image_size=384,
                              out_features=stages)
        text, sizes = BertConfig(), {}
    return GroundingDinoConfig(backbone_config=backbone, text_config=text, disable_custom_kernels=True, **sizes)


def made_up(make, config, bench, name):
    with torch.device(bench.device):
        network = make(config)
    return fill(network.to(bench.device, TYPES[name]).requires_grad_(False).eval())


def made_up_sam(bench, name):
    from transformers import SamModel
    return made_up(SamModel, sam_config(bench.small), bench, name)


def embed_figures(bench, name, network, peer, encoder):
    side = network.config.vision_config.image_size
    for batch in (1, 8):
        figure = f"segmenters.sam_vit_h.embed.b{batch}.{name}"

        def work(batch=batch, figure=figure):
            pixels = torch.randn(batch, 3, side, side, device=bench.device, dtype=TYPES[name])
            bench.rate(figure, batch, "images/s", lambda: encoder(pixels, return_dict=True), peer)
        bench.attempt(figure, work, peer)


def box_figure(bench, name, network):
    side = network.config.vision_config.image_size
    figure = f"segmenters.sam_vit_h.boxes{BOXES}.{name}"

    def boxes():
        pixels = torch.randn(1, 3, side, side, device=bench.device, dtype=TYPES[name])
        embeddings = network.get_image_embeddings(pixels)
        corners = torch.rand(1, BOXES, 4, device=bench.device, dtype=torch.float32).to(TYPES[name]) * side
        bench.rate(figure, BOXES, "boxes/s",
                   lambda: network(image_embeddings=embeddings, input_boxes=corners, multimask_output=False))
    bench.attempt(figure, boxes)


def compiled_figures(bench, name, network):
    for peer in bench.compiled if name != "fp32" else ():
        embed_figures(bench, name, network, peer, compiled(network.vision_encoder, peer))


def grounding_dino_figures(bench, name):
    from transformers import GroundingDinoForObjectDetection
    network = made_up(GroundingDinoForObjectDetection, grounding_dino_config(bench.small), bench, name)
    height, width = (128, 160) if bench.small else (800, 1066)
    for batch in (1, 4):
        figure = f"segmenters.grounding_dino_base.b{batch}.{name}"

        def work(batch=batch, figure=figure):
            pixels = torch.randn(batch, 3, height, width, device=bench.device, dtype=TYPES[name])
            ids = torch.tensor([PROMPT], device=bench.device).repeat(batch, 1)
            mask, types = torch.ones_like(ids), torch.zeros_like(ids)
            bench.rate(figure, batch, "images/s",
                       lambda: network(pixel_values=pixels, input_ids=ids, attention_mask=mask, token_type_ids=types))
        bench.attempt(figure, work)


def main(arguments=None):
    bench = Bench(__doc__.split("\n")[0], arguments)
    torch.set_grad_enabled(False)
    for name in ("bf16", "tf32", "fp32"):
        precision(name)
        of_sam = []

        def sam_eager():
            of_sam.append(made_up_sam(bench, name))
            embed_figures(bench, name, of_sam[0], "eager", of_sam[0].vision_encoder)
            box_figure(bench, name, of_sam[0])

        def sam_compiled():  # takes long: what is eager comes first
            for network in of_sam:
                compiled_figures(bench, name, network)
        for group, figures in (("sam_vit_h", sam_eager), ("grounding_dino_base", lambda: grounding_dino_figures(bench, name)),
                               ("sam_vit_h", sam_compiled)):
            try:
                figures()
            except Exception as problem:  # a library that is not there, or does not fit
                text = f"{type(problem).__name__}: {problem}".splitlines()[0]
                error(f"segmenters.{group}.{name}.eager", text, "eager")
    torch.set_grad_enabled(True)
    matrix_rates(bench, "segmenters")


if __name__ == "__main__":
    main()
