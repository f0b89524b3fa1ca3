"""Every built-in kind, in the order in which discovery lists groups."""

from __future__ import annotations

from navarch.api.admissionregistration import (
    mutatingadmissionpolicy,
    mutatingadmissionpolicybinding,
    mutatingwebhookconfiguration,
    validatingadmissionpolicy,
    validatingadmissionpolicybinding,
    validatingwebhookconfiguration,
)
from navarch.api.apiextensions import customresourcedefinition
from navarch.api.apiregistration import apiservice
from navarch.api.apps import controllerrevision, daemonset, deployment, replicaset, statefulset
from navarch.api.authentication import reviews as authentication_reviews
from navarch.api.authorization import reviews as authorization_reviews
from navarch.api.autoscaling import horizontalpodautoscaler, horizontalpodautoscalerv1
from navarch.api.batch import cronjob, job
from navarch.api.certificates import certificatesigningrequest
from navarch.api.coordination import lease
from navarch.api.core import (
    binding,
    componentstatus,
    configmap,
    endpoints,
    event,
    limitrange,
    namespace,
    node,
    persistentvolume,
    persistentvolumeclaim,
    pod,
    podtemplate,
    replicationcontroller,
    resourcequota,
    secret,
    service,
    serviceaccount,
)
from navarch.api.discovery import endpointslice
from navarch.api.events import event as events_event
from navarch.api.flowcontrol import flowschema, prioritylevelconfiguration
from navarch.api.kind import Kind
from navarch.api.networking import ingress, ingressclass, ipaddress, networkpolicy, servicecidr
from navarch.api.node import runtimeclass
from navarch.api.policy import poddisruptionbudget
from navarch.api.rbac import clusterrole, clusterrolebinding, role, rolebinding
from navarch.api.resource import deviceclass, resourceclaim, resourceclaimtemplate, resourceslice
from navarch.api.scheduling import priorityclass
from navarch.api.storage import (
    csidriver,
    csinode,
    csistoragecapacity,
    storageclass,
    volumeattachment,
    volumeattributesclass,
)

KINDS: tuple[Kind, ...] = (
    binding.KIND,
    componentstatus.KIND,
    configmap.KIND,
    endpoints.KIND,
    event.KIND,
    limitrange.KIND,
    namespace.KIND,
    node.KIND,
    persistentvolume.KIND,
    persistentvolumeclaim.KIND,
    pod.KIND,
    podtemplate.KIND,
    replicationcontroller.KIND,
    resourcequota.KIND,
    secret.KIND,
    serviceaccount.KIND,
    service.KIND,
    deployment.KIND,
    replicaset.KIND,
    daemonset.KIND,
    statefulset.KIND,
    controllerrevision.KIND,
    authentication_reviews.TOKEN_REVIEW,
    authentication_reviews.SELF_SUBJECT_REVIEW,
    authorization_reviews.SELF_SUBJECT_ACCESS_REVIEW,
    authorization_reviews.SUBJECT_ACCESS_REVIEW,
    authorization_reviews.LOCAL_SUBJECT_ACCESS_REVIEW,
    horizontalpodautoscaler.KIND,
    horizontalpodautoscalerv1.KIND,
    authorization_reviews.SELF_SUBJECT_RULES_REVIEW,
    job.KIND,
    cronjob.KIND,
    poddisruptionbudget.KIND,
    certificatesigningrequest.KIND,
    runtimeclass.KIND,
    ingress.KIND,
    ingressclass.KIND,
    ipaddress.KIND,
    networkpolicy.KIND,
    servicecidr.KIND,
    clusterrolebinding.KIND,
    clusterrole.KIND,
    rolebinding.KIND,
    role.KIND,
    priorityclass.KIND,
    storageclass.KIND,
    csidriver.KIND,
    csinode.KIND,
    csistoragecapacity.KIND,
    volumeattachment.KIND,
    volumeattributesclass.KIND,
    lease.KIND,
    endpointslice.KIND,
    events_event.KIND,
    deviceclass.KIND,
    resourceclaim.KIND,
    resourceclaimtemplate.KIND,
    resourceslice.KIND,
    flowschema.KIND,
    prioritylevelconfiguration.KIND,
    mutatingwebhookconfiguration.KIND,
    validatingwebhookconfiguration.KIND,
    validatingadmissionpolicy.KIND,
    validatingadmissionpolicybinding.KIND,
    mutatingadmissionpolicy.KIND,
    mutatingadmissionpolicybinding.KIND,
    customresourcedefinition.KIND,
    apiservice.KIND,
)
