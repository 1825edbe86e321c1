"""A household's files, under names and in folders as people give them, in German, French and English.

Beside the files of ``tests.quality.search``, whose names give nothing away: here names, folders, compounds and
abbreviations are what is asked for. All of it is made up; the pictures and tables come with scikit-image and
scikit-learn.
"""

# ruff: noqa: E501 - files are a table
from __future__ import annotations

SOURCES = {
    "Phone DCIM/IMG_20250830_141502.png": "skimage:data/color.png",
    "Phone DCIM/IMG_20240612_090331.gif": "skimage:data/no_time_for_that_tiny.gif",
    "Scans/DSC04711.png": "skimage:data/phantom.png",
    "Cards/005.wav": "/usr/share/pocketsphinx/test/data/cards/005.wav",
    "Datasets/wine_data.rst": "sklearn:datasets/descr/wine_data.rst",
    "Datasets/iris.csv": "sklearn:datasets/data/iris.csv",
}
TEXTS = {
    "Steuern/Einkommensteuerbescheid 2022.txt": "Bescheid für 2022 über Einkommensteuer, Solidaritätszuschlag und Kirchensteuer. Festgesetzt werden 8.412 Euro, zu erstatten sind 312,50 Euro. Gegen diesen Bescheid können Sie innerhalb eines Monats beim Finanzamt Einspruch einlegen.",
    "Steuern/Belege/Spendenquittung Rotes Kreuz.txt": "Bestätigung über Geldzuwendungen. Wir danken Ihnen für Ihre Zuwendung von 150 Euro. Der Betrag wird ausschließlich für mildtätige Zwecke verwendet.",
    "Wohnung/Mietvertrag Lindenstraße.txt": "Das Mietverhältnis beginnt am 1. April 2019. Die monatliche Kaltmiete beträgt 870 Euro. Die Kündigungsfrist beträgt drei Monate. Haustiere bedürfen der Zustimmung des Vermieters.",
    "Wohnung/Nebenkostenabrechnung 2023.txt": "Abgerechnet werden Heizung, Warmwasser, Müllabfuhr und Treppenhausreinigung. Auf Ihre Wohnung entfallen 2.164,80 Euro. Nach Abzug der Vorauszahlungen bleibt eine Nachforderung von 244,80 Euro.",
    "Wohnung/Stadtwerke_Abschlag.txt": "Ihr neuer monatlicher Abschlag für Strom und Gas beträgt 118 Euro. Den Zählerstand können Sie uns bis zum 15. Dezember mitteilen.",
    "Auto/Haftpflicht 2024.txt": "Beitragsrechnung zur Kraftfahrzeugversicherung. Schadenfreiheitsklasse SF 12, Jahresbeitrag 386,20 Euro. Bitte melden Sie einen Unfall unverzüglich.",
    "Rezepte/Apfelstrudel.txt": "Den Teig dünn ausziehen und mit zerlassener Butter bestreichen. Mit Äpfeln, Rosinen, Zimt und Semmelbröseln füllen, einrollen und 40 Minuten bei 190 Grad backen. Mit Vanillesauce servieren.",
    "Rechnungen/invoice-2024-0117.txt": "Repair of the washing machine on 17 January: new drain pump 64.00, two hours of labour 130.00, travel 25.00. Payable within 14 days.",
    "Rechnungen/invoice-2024-0203.txt": "Replacement of the roof gutter on the north side, scaffolding included. Total 1,940.00, of which labour 1,120.00.",
    "Famille/Lettre à mamie.txt": "Chère mamie, nous rentrons de deux semaines de vacances en Bretagne. Les enfants ont ramassé des coquillages et mangé des crêpes tous les soirs. Il a plu trois jours seulement. Gros bisous à toi et à papi.",
    "Famille/Ordonnance docteur Lefèvre.txt": "Amoxicilline, un comprimé trois fois par jour pendant sept jours. Paracétamol en cas de fièvre ou de douleurs.",
    "Hund/Impfpass Bruno.txt": "Bruno, Labrador, geboren am 3. März 2018. Tollwutimpfung am 2. Mai 2019, Auffrischung fällig im Mai 2022. Entwurmung im Oktober.",
    "Work/quarterly_report_Q3.txt": "Revenue in the third quarter rose by eleven percent, mostly from subscriptions. Churn fell to two percent. Hiring is frozen until the new warehouse opens.",
    "Work/meeting-notes 2025-03-14.txt": "Present: Ines, Tom, Farid. The supplier is late again. Farid asks two others for a quote. Next milestone is the prototype with the aluminium housing.",
    "Music lessons/piano-practice-plan.txt": "Scales in all keys, ten minutes. Then the left hand of the sonatina alone, slowly, with the metronome. Sight-reading at the end.",
}  # fmt: skip
