"""The structures of FHIR R4, read from the metadata of fhir.resources' R4B models: http://hl7.org/fhir/R4/structuredefinition.html.

R4B is R4 but for the types and elements that are taken out here, so that what is accepted is plain R4 (docs/adr/0006-validation.md).
A model is imported when its structure is first asked for.
"""

import functools
import types
import typing
from dataclasses import dataclass
from typing import Any

RESOURCE = "Resource"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The types of R4 that R4B kept with their shape.
RESOURCE_TYPES = _words(
    """
    Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic Binary
    BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem ChargeItemDefinition
    Claim ClaimResponse ClinicalImpression CodeSystem Communication CommunicationRequest CompartmentDefinition Composition ConceptMap
    Condition Consent Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceDefinition
    DeviceMetric DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference Encounter Endpoint
    EnrollmentRequest EnrollmentResponse EpisodeOfCare EventDefinition ExampleScenario ExplanationOfBenefit FamilyMemberHistory Flag
    Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization ImmunizationEvaluation
    ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List Location Measure MeasureReport Media
    Medication MedicationAdministration MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement MessageDefinition
    MessageHeader MolecularSequence NamingSystem NutritionOrder Observation ObservationDefinition OperationDefinition OperationOutcome
    Organization OrganizationAffiliation Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner
    PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchDefinition
    ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment Schedule SearchParameter ServiceRequest Slot Specimen
    SpecimenDefinition StructureDefinition StructureMap Subscription Substance SupplyDelivery SupplyRequest Task TerminologyCapabilities
    TestReport TestScript ValueSet VerificationResult VisionPrescription
    """
)
# R4 types whose shape no R4B model knows: they are answered `not-supported`, never judged by another version's rules.
UNSUPPORTED_TYPES = _words(
    """
    EffectEvidenceSynthesis Evidence EvidenceVariable MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication
    MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured
    MedicinalProductPackaged MedicinalProductPharmaceutical MedicinalProductUndesirableEffect RiskEvidenceSynthesis SubstanceNucleicAcid
    SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification
    """
)

_NEW_IN_R4B = frozenset({"CodeableReference", "RatioRange"})
_NEW_ELEMENTS_IN_R4B = frozenset({"subjectCanonical"})

# The models list examples here, where R4 takes any MIME type or expression language.
_EXAMPLES_ONLY = frozenset({("CapabilityStatement", "format"), ("Expression", "language")})
_REGISTERED = ("registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown")
_ENCOUNTER = ("planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled", "entered-in-error", "unknown")
# Required value sets that the models' metadata cuts short with "+".
_CUT_SHORT: dict[tuple[str, str], tuple[str, ...]] = {
    ("DetectedIssue", "status"): _REGISTERED,
    ("DeviceUdiCarrier", "entryType"): ("barcode", "rfid", "manual", "card", "self-reported", "unknown"),
    ("DeviceUseStatement", "status"): ("active", "completed", "entered-in-error", "intended", "stopped", "on-hold"),
    ("DiagnosticReport", "status"): (*("partial", "appended"), *_REGISTERED),
    ("Encounter", "status"): _ENCOUNTER,
    ("EncounterStatusHistory", "status"): _ENCOUNTER,
    ("Observation", "status"): _REGISTERED,
    ("QuestionnaireItem", "type"): (
        *("group", "display", "boolean", "decimal", "integer", "date", "dateTime", "time", "string", "text", "url"),
        *("choice", "open-choice", "attachment", "reference", "quantity"),
    ),
    ("RiskAssessment", "status"): _REGISTERED,
    ("StructureMapGroupRuleTarget", "transform"): (
        *("create", "copy", "truncate", "escape", "cast", "append", "translate", "reference", "dateOp", "uuid", "pointer", "evaluate"),
        *("cc", "c", "qty", "id", "cp"),
    ),
    ("SupplyRequest", "status"): ("draft", "active", "suspended", "cancelled", "completed", "entered-in-error", "unknown"),
    ("Task", "status"): (
        *("draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold", "failed"),
        *("completed", "entered-in-error"),
    ),
}


@dataclass(frozen=True, slots=True)
class Element:
    """One element: `type` is a FHIR primitive, the name of a structure, or `Resource`. `choice` is x of the x[y] it belongs to.

    `codes` is the complete required value set, `targets` the resource types a Reference may name; None where there is no such rule.
    """

    name: str
    type: str
    is_primitive: bool
    is_list: bool
    is_required: bool
    choice: str | None
    codes: tuple[str, ...] | None
    targets: tuple[str, ...] | None

    @property
    def has_extension(self) -> bool:
        """Whether `_name` may stand beside it: beside all primitives but those that XML has as attributes or as a tree."""
        return self.is_primitive and self.type != "xhtml" and self.name != "id"


@dataclass(frozen=True, slots=True)
class Structure:
    """A data type, a backbone element or a resource type; `choices` maps x to (its elements, whether one is required)."""

    name: str
    is_resource: bool
    elements: dict[str, Element]
    choices: dict[str, tuple[tuple[str, ...], bool]]


@functools.cache
def structure(name: str) -> Structure:
    """The structure called `name` as the models call it: `Patient`, `PatientContact`, `HumanName`."""
    model = _model(name)
    elements: dict[str, Element] = {}
    choices: dict[str, tuple[tuple[str, ...], bool]] = {}
    for field_name, field in sorted(model.model_fields.items(), key=lambda item: str(item[1].alias)):
        if field_name == "fhir_comments" or field_name.endswith("__ext"):
            continue
        element = _element(name, str(field.alias), field)
        if element.type in _NEW_IN_R4B or element.name in _NEW_ELEMENTS_IN_R4B:
            continue
        elements[element.name] = element
        if element.choice:
            members, _ = choices.get(element.choice, ((), False))
            rules: Any = field.json_schema_extra
            choices[element.choice] = ((*members, element.name), bool(rules["one_of_many_required"]))
    return Structure(name, name in RESOURCE_TYPES, elements, choices)


def _model(name: str) -> Any:
    """Here and not above: what only asks whether a type is known starts without the models and what they stand on."""
    from fhir.resources.R4B import get_fhir_model_class
    from fhir_core.fhirabstractmodel import FHIRAbstractModel

    FHIRAbstractModel.model_config["defer_build"] = True  # their own validators, of which nothing is used: half of the time and memory
    return get_fhir_model_class(name)


def _element(owner: str, name: str, field: Any) -> Element:
    rules = field.json_schema_extra or {}
    leaf, is_list = _leaf(field.annotation)
    codes = None if (owner, name) in _EXAMPLES_ONLY else rules.get("enum_values")
    if codes and codes[-1] == "+":
        codes = _CUT_SHORT[owner, name]
    primitive = _primitive(leaf)
    targets = rules.get("enum_reference_types") if primitive is None else None
    return Element(
        name=name,
        type=primitive or leaf.__name__.removesuffix("Type"),
        is_primitive=primitive is not None,
        is_list=is_list,
        is_required=field.is_required() or bool(rules.get("element_required")),
        choice=rules.get("one_of_many"),
        codes=tuple(codes) if codes else None,
        targets=None if not targets or RESOURCE in targets else tuple(sorted(targets)),
    )


def _leaf(annotation: Any) -> tuple[Any, bool]:
    """What is inside Optional and List, and whether there was a List."""
    is_list = False
    while typing.get_origin(annotation) in {typing.Union, types.UnionType, list}:
        is_list = is_list or typing.get_origin(annotation) is list
        annotation = next(a for a in typing.get_args(annotation) if a is not types.NoneType)
    return annotation, is_list


def _primitive(leaf: Any) -> str | None:
    """The FHIR primitive that a model's annotation stands for, None if it is a structure."""
    if leaf is bool:
        return "boolean"
    if typing.get_origin(leaf) is not typing.Annotated:
        return None
    marks = [type(mark).__name__ for mark in leaf.__metadata__]
    mark = next(mark for mark in marks if mark != "EncodedBytes")
    return "uuid" if mark == "UuidVersion" else mark[0].lower() + mark[1:]
