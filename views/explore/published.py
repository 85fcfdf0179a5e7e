"""Why a number on Explore may differ from the one on Results: another precision computed it."""

import streamlit as st

from unet.language import t
from unet.weights.network import Weights
from views.shared import loaders


def show_published_score(weights: Weights, patient_id: str, engine_name: str) -> None:
    """Show the published volume Dice of a patient, where the page computes with another engine than the report did.

    Args:
        weights: of the mask on the page.
        patient_id: the patient on the page.
        engine_name: what computes the mask on the page.
    """
    for report in loaders.shipped_reports().get(weights.name, {}).values():
        protocol = report.get("protocol", {})
        patient = protocol.get("patients", {}).get(patient_id)
        if patient and protocol["sha256"] == weights.sha256 and protocol["engine"] != engine_name:
            st.caption(
                t(
                    "This page computes the mask with {engine}. Results shows the published volume Dice of this "
                    "patient, {dice:.3f}, computed with {published_engine}.",
                    engine=engine_name,
                    dice=patient["dice"]["published"],
                    published_engine=protocol["engine"],
                )
            )
